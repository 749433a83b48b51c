"""What a homeserver refuses of keys and to-device messages, and how: a Synapse as the fake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from contract.outcomes import ExpectRefusals, Outcome, assert_each_is_signed_out, outcome_of
from fakes.keys import FakeKeys, FakeKeyServer, FakeOwner, FakeVault
from heliograph.core.events import Json
from heliograph.core.ids import UserId
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.errors import LoggedOut
from heliograph.homeserver.keys import KeysClient
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import Keys
from support.builders import ALICE, ROOM

KNOWN = "signed_curve25519:known"
KNOWN_KEY: Json = {"key": "a", "signatures": {}}
TOO_LARGE = {"text": "x" * 70_000}


@dataclass
class Place:
    """A device that has published its keys and a one-time key KNOWN, and whose user has an identity."""

    keys: Keys
    vault: FakeVault
    owner: FakeOwner
    sign_out: Callable[[], Awaitable[None]]

    def device(self, **changes: Any) -> dict[str, Any]:
        """The device's own keys as they are published, but for these."""
        return {**self.vault.device_keys(), **changes}

    def signed(self, **changes: Any) -> dict[str, Any]:
        """The same with the identity's signature alone."""
        device = self.device(**changes)
        key_id = f"ed25519:{self.owner.self_signing.public_key}"
        return {**device, "signatures": {self.keys.user_id: {key_id: self.owner.self_signing.sign(device)}}}


@pytest.fixture
async def fake_place() -> Place:
    server = FakeKeyServer()
    keys = FakeKeys(server)

    async def sign_out() -> None:
        server.failure = LoggedOut(soft=False)

    return await _published(Place(keys, FakeVault(keys.device_id, keys.user_id), FakeOwner(server), sign_out))


@pytest.fixture
async def real_place(synapse: ThrowawaySynapse, new_user: Callable[[str], Awaitable[DemoUser]]) -> AsyncIterator[Place]:
    me = await new_user("me")
    owner = FakeOwner(server := FakeKeyServer(), me.user_id)
    identity = {"master_key": server.master[me.user_id], "self_signing_key": server.self_signing[me.user_id]}
    await me.call("POST", "/keys/device_signing/upload", identity)
    session = Session(synapse.base_url, access_token=me.access_token, user_id=me.user_id, device_id=me.device_id)
    yield await _published(Place(KeysClient(session), FakeVault(me.device_id, me.user_id), owner, me.logout))
    await session.close()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest) -> Place:
    place = request.getfixturevalue(f"{request.param}_place")
    assert isinstance(place, Place)
    return place


async def _published(place: Place) -> Place:
    await place.keys.upload_keys(device_keys=place.device(), one_time_keys={KNOWN: KNOWN_KEY})
    return place


Request = Callable[[Place], Awaitable[Any]]


def upload_device(*, without: str = "", **changes: Any) -> Request:
    def ask(place: Place) -> Awaitable[Any]:
        device = place.device(**changes)
        device.pop(without, None)
        return place.keys.upload_keys(device_keys=device)

    return ask


def upload_one_time(name: str, key: Any) -> Request:
    return lambda place: place.keys.upload_keys(one_time_keys={name: key})


def upload_fallback(name: str, key: Any) -> Request:
    return lambda place: place.keys.upload_keys(fallback_keys={name: key})


def query(user_id: str) -> Request:
    return lambda place: place.keys.query_keys([UserId(user_id)])


def claim(user_id: str, algorithm: str = "signed_curve25519") -> Request:
    return lambda place: place.keys.claim_keys({UserId(user_id): {"DEVICE": algorithm}})


def sign(device: Callable[[Place], Json], *, device_id: str | None = None, user_id: UserId | None = None) -> Request:
    return lambda place: place.keys.upload_signatures(
        {user_id or place.keys.user_id: {device_id or place.keys.device_id: device(place)}}
    )


async def _sign_wrongly_later(place: Place) -> None:
    """A signature by a key that has signed already is not looked at again."""
    await sign(Place.signed)(place)
    await sign(lambda place: place.signed(algorithms=["m.other"]))(place)


def tell(user_id: str, content: Json, type_: str = "m.dummy", transaction_id: str = "t1") -> Request:
    return lambda place: place.keys.send_to_device(type_, {UserId(user_id): {"*": content}}, transaction_id)


def find_account_data(type_: str) -> Request:
    return lambda place: place.keys.account_data(type_)


def find_backed_up(version: str, session_id: str) -> Request:
    return lambda place: place.keys.backed_up_key(version, ROOM, session_id)


async def _tell_twice(place: Place) -> None:
    await tell(ALICE, {})(place)
    await tell(ALICE, TOO_LARGE)(place)


BAD_JSON, MISSING, EXISTS = (400, "M_BAD_JSON"), (400, "M_MISSING_PARAM"), (400, "M_UNKNOWN")
NO_USER, UNACCEPTED, LARGE = (400, "M_INVALID_PARAM"), (200, "M_INVALID_SIGNATURE"), (413, "M_TOO_LARGE")
KEY: Json = {"key": "b", "signatures": {"@me:localhost": {"ed25519:D": "signature"}}}
ODD_USERS = ["@nobody:localhost", "@x:in_valid", "@x:y:z", "@é /?:localhost", "@:localhost", "@x:elsewhere.example"]
NO_USERS = ["@nothing", "nothing", ""]
"""Ids that have not even the parts of one."""

REQUESTS: dict[str, tuple[Request, Outcome]] = {
    "nothing to publish": (lambda place: place.keys.upload_keys(), None),
    "device": (upload_device(), None),
    "device with more": (upload_device(unsigned={"device_display_name": "desk"}), None),
    "device with changed keys": (upload_device(keys={}), None),
    **{
        f"device without {part}": (upload_device(without=part), MISSING)
        for part in ("user_id", "device_id", "algorithms", "keys", "signatures")
    },
    "another device": (upload_device(device_id="OTHER"), BAD_JSON),
    "another user's device": (upload_device(user_id=ALICE), BAD_JSON),
    "device with odd keys": (upload_device(keys={"ed25519:D": 1}), BAD_JSON),
    "device with odd algorithms": (upload_device(algorithms=[1]), BAD_JSON),
    "one-time key": (upload_one_time("signed_curve25519:new", KEY), None),
    "one-time key again": (upload_one_time(KNOWN, KNOWN_KEY), None),
    "one-time key with another signature": (upload_one_time(KNOWN, {**KNOWN_KEY, "signatures": {"@x:y": {}}}), None),
    "one-time key under a known name": (upload_one_time(KNOWN, KEY), EXISTS),
    "one-time key that is a text": (upload_one_time("curve25519:new", "b"), None),
    "one-time key without signatures": (upload_one_time("signed_curve25519:new", {"key": "b"}), BAD_JSON),
    "one-time key that is a number": (upload_one_time("signed_curve25519:new", {**KEY, "key": 1}), BAD_JSON),
    **{f"one-time key named {odd!r}": (upload_one_time(odd, KEY), BAD_JSON) for odd in ("", "new", "a:b:new")},
    "fallback key": (upload_fallback("signed_curve25519:new", {**KEY, "fallback": True}), None),
    "fallback key that says so by a text": (
        upload_fallback("signed_curve25519:new", {**KEY, "fallback": "yes"}),
        BAD_JSON,
    ),
    "fallback key without signatures": (upload_fallback("signed_curve25519:new", {"key": "b"}), BAD_JSON),
    **{f"fallback key named {odd!r}": (upload_fallback(odd, KEY), BAD_JSON) for odd in ("", "new", "a:b:new")},
    "no one's keys": (lambda place: place.keys.query_keys([]), None),
    "own keys": (lambda place: place.keys.query_keys([place.keys.user_id]), None),
    **{f"keys of {user_id!r}": (query(user_id), None) for user_id in [*ODD_USERS, *NO_USERS]},
    "claiming of nobody": (lambda place: place.keys.claim_keys({}), None),
    "claiming an odd algorithm": (claim("@nobody:localhost", "nonsense"), None),
    **{f"claiming of {user_id!r}": (claim(user_id), None) for user_id in ODD_USERS},
    **{f"claiming of {user_id!r}": (claim(user_id), NO_USER) for user_id in NO_USERS},
    "no signatures": (lambda place: place.keys.upload_signatures({}), None),
    "signature": (sign(Place.signed), None),
    "wrong signature later": (_sign_wrongly_later, None),
    "signature of another object": (sign(lambda place: {**place.signed(), "algorithms": ["m.other"]}), UNACCEPTED),
    "signature of other keys": (sign(lambda place: place.signed(algorithms=["m.other"])), UNACCEPTED),
    "signature by the device alone": (sign(Place.device), UNACCEPTED),
    "signature that is missing": (sign(lambda place: place.device(signatures={})), UNACCEPTED),
    "signature of no device": (
        sign(lambda place: place.signed(device_id="NONE"), device_id="NONE"),
        UNACCEPTED,
    ),
    "signature of another user's device": (
        sign(lambda place: place.signed(user_id=ALICE), user_id=ALICE),
        UNACCEPTED,
    ),
    "message": (tell(ALICE, {"text": "hello"}), None),
    "message of an odd type": (tell(ALICE, {}, "a/b é\n"), None),
    "message under an odd transaction": (tell(ALICE, {}, transaction_id="a/b é" * 50), None),
    **{f"message to {user_id!r}": (tell(user_id, {}), None) for user_id in [*ODD_USERS, *NO_USERS]},
    "message that is too large": (tell(ALICE, TOO_LARGE), LARGE),
    "message to nobody that is too large": (tell("nobody", TOO_LARGE), None),
    "message under a known transaction": (_tell_twice, None),
    **{f"account data of type {odd!r}": (find_account_data(odd), None) for odd in ("m.none", "", "a/b é\n", "x" * 300)},
    "backup": (lambda place: place.keys.backup_version(), None),
    **{
        f"backed up key of {version!r}, {session!r}": (
            find_backed_up(version, session),
            None,
        )
        for version in ("1", "nonsense", "")
        for session in ("s", "a/b é\n", "")
    },
}


ASKED = {"claiming": "POST keys/claim", "message": "PUT sendToDevice/*/*"}
"""What is asked for besides POST /keys/upload, by the first word of a name."""
NOTHING_THERE = {
    "account": "404 GET user/*/account_data/*",
    "backup": "404 GET room_keys/version",
    "backed": "404 GET room_keys/keys/*/*",
}
"""Refusals that only say so."""


def refusals_of(name: str) -> list[str]:
    outcome, what = REQUESTS[name][1], name.partition(" ")[0]
    if what in NOTHING_THERE:
        return [NOTHING_THERE[what]]
    # Signatures are answered with 200 and a list of those that were not accepted.
    return [] if outcome is None or outcome[0] == 200 else [f"{outcome[0]} {ASKED.get(what, 'POST keys/upload')}"]


@pytest.mark.parametrize("name", REQUESTS)
async def test_each_request_about_keys_is_answered_or_refused_as_by_the_real_one(
    place: Place, name: str, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals(*refusals_of(name))
    request, outcome = REQUESTS[name]
    assert await outcome_of(request(place)) == outcome


async def test_one_time_keys_are_counted_by_algorithm_and_claimed_once_and_the_fallback_key_for_ever(
    place: Place,
) -> None:
    device = {place.keys.user_id: {place.keys.device_id: "signed_curve25519"}}
    counts = await place.keys.upload_keys(
        one_time_keys={"curve25519:text": "c"}, fallback_keys={"signed_curve25519:last": {**KEY, "fallback": True}}
    )
    assert counts == {"signed_curve25519": 1, "curve25519": 1}
    claimed = [await place.keys.claim_keys(device) for _ in range(3)]
    names = [list(each[place.keys.user_id][place.keys.device_id]) for each in claimed]
    assert names == [[KNOWN], ["signed_curve25519:last"], ["signed_curve25519:last"]]


CALLS: list[Request] = [
    lambda place: place.keys.upload_keys(),
    query(ALICE),
    claim(ALICE),
    sign(Place.signed),
    tell(ALICE, {}),
    lambda place: place.keys.account_data("m.none"),
    lambda place: place.keys.backup_version(),
    lambda place: place.keys.backed_up_key("1", ROOM, "s"),
]


SIGNED_OUT = (
    *(f"401 POST keys/{what}" for what in ("upload", "query", "claim", "signatures/upload")),
    "401 PUT sendToDevice/*/*",
    "401 GET user/*/account_data/*",
    "401 GET room_keys/version",
    "401 GET room_keys/keys/*/*",
)


async def test_a_device_that_is_signed_out_is_told_so_whatever_it_asks_of_keys(
    place: Place, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals(*SIGNED_OUT)
    await place.sign_out()
    await assert_each_is_signed_out(call(place) for call in CALLS)
