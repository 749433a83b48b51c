"""Signing in and out, and what is refused then and how: a Synapse as the server that the tests of commands play."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from contract.outcomes import ExpectRefusals
from edges.login_server import PASSWORD, LoginServer
from heliograph.core.events import Json
from heliograph.core.ids import UserId
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.errors import BadAnswer, LoggedOut, Refused, UserError
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.flows import Flow, ask_auth_server, login_flows
from heliograph.homeserver.login import log_in_with_password, log_in_with_token, recognise
from heliograph.homeserver.logout import log_out, remove_pushers
from heliograph.homeserver.session import Session
from support.builders import ME, make_pusher


@dataclass
class Place:
    """A homeserver, one of its users, and a session that is signed in as nobody yet."""

    session: Session
    user_id: UserId
    password: str
    expire: Callable[[str], None]
    """Ends an access token, but not its device."""

    async def sign_in(self, device_id: str | None = None) -> Any:
        return await log_in_with_password(
            self.session, self.user_id, self.password, device_name="Heliograph", device_id=device_id
        )

    def use(self, access_token: str) -> None:
        self.session.sign_in(access_token=access_token, user_id=self.user_id, device_id="D")


@pytest.fixture
async def fake_place() -> AsyncIterator[Place]:
    with LoginServer() as server:
        session = Session(server.url)
        yield Place(session, ME, PASSWORD, server.expire)
        await session.close()


@pytest.fixture
async def real_place(synapse: ThrowawaySynapse, new_user: Callable[[str], Awaitable[DemoUser]]) -> AsyncIterator[Place]:
    me = await new_user("me")
    session = Session(synapse.base_url)

    def expire(access_token: str) -> None:
        # As for an administrator who limits sessions. The token was never used, so Synapse remembers nothing of it.
        with contextlib.closing(sqlite3.connect(synapse.folder / "homeserver.db", timeout=20)) as db, db:
            update = "UPDATE access_tokens SET valid_until_ms = 1 WHERE token = ?"
            assert db.execute(update, (access_token,)).rowcount == 1

    yield Place(session, me.user_id, me.password, expire)
    await session.close()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def place(request: pytest.FixtureRequest) -> Place:
    place = request.getfixturevalue(f"{request.param}_place")
    assert isinstance(place, Place)
    return place


Request = Callable[[Place], Awaitable[Any]]
Outcome = tuple[int, str] | None
"""Status and error code of the refusal; None: it is answered."""


def with_password(user_id: str | None = None, password: str | None = None) -> Request:
    return lambda place: log_in_with_password(
        place.session,
        place.user_id if user_id is None else UserId(user_id),
        place.password if password is None else password,
        device_name="Heliograph on desk",
    )


def submit(body: Json) -> Request:
    """As the body of POST /login."""
    return lambda place: place.session.request_json("POST", "/_matrix/client/v3/login", body=body)


def ask(method: str, path: str, access_token: str = "") -> Request:
    async def request(place: Place) -> None:
        place.use(access_token)
        body: Json | None = {} if method == "POST" else None
        await place.session.request(method, f"/_matrix/client/v3{path}", body=body)

    return request


async def _log_out_twice(place: Place) -> None:
    await place.sign_in()
    await log_out(place.session, "pushkey")
    await log_out(place.session, "pushkey")


async def _ask_after_log_out(place: Place) -> None:
    await place.sign_in()
    await log_out(place.session, "pushkey")
    await recognise(place.session, place.user_id)


async def _log_out_expired(place: Place) -> None:
    device = await place.sign_in()
    place.expire(device.access_token)
    await log_out(place.session, "pushkey")


FORBIDDEN, INCOMPLETE, NO_LOGIN = (403, "M_FORBIDDEN"), (400, "M_UNKNOWN"), (400, "M_INVALID_PARAM")
UNKNOWN_TOKEN, MISSING_TOKEN = (401, "M_UNKNOWN_TOKEN"), (401, "M_MISSING_TOKEN")
USER = {"type": "m.id.user", "user": "@me:localhost"}

REQUESTS: dict[str, tuple[Request, Outcome]] = {
    "ways to sign in": (lambda place: login_flows(place.session), None),
    "whether there is OAuth": (lambda place: ask_auth_server(place.session), None),
    "password": (with_password(), None),
    "wrong password": (with_password(password="wrong"), FORBIDDEN),
    "empty password": (with_password(password=""), FORBIDDEN),
    **{
        f"password of {user_id!r}": (with_password(user_id), FORBIDDEN)
        for user_id in ("@nobody:localhost", "@x:elsewhere.example", "@x:in_valid", "nobody")
    },
    "password of no user": (with_password(""), INCOMPLETE),
    "wrong login token": (
        lambda place: log_in_with_token(place.session, place.user_id, "wrong", device_name="Heliograph"),
        FORBIDDEN,
    ),
    "nothing": (submit({}), INCOMPLETE),
    "odd type": (submit({"type": "nonsense"}), NO_LOGIN),
    "first half of single sign-on": (submit({"type": Flow.SSO.value}), NO_LOGIN),
    "login token that is missing": (submit({"type": Flow.TOKEN.value}), INCOMPLETE),
    "password that is missing": (submit({"type": Flow.PASSWORD.value, "identifier": USER}), NO_LOGIN),
    "user that is missing": (submit({"type": Flow.PASSWORD.value, "password": "x"}), NO_LOGIN),
    "whoami with an odd token": (ask("GET", "/account/whoami", "nonsense"), UNKNOWN_TOKEN),
    "whoami with a long token": (ask("GET", "/account/whoami", "x" * 5000), UNKNOWN_TOKEN),
    "whoami without a token": (ask("GET", "/account/whoami"), MISSING_TOKEN),
    "logout with an odd token": (ask("POST", "/logout", "nonsense"), UNKNOWN_TOKEN),
    "logout without a token": (ask("POST", "/logout"), MISSING_TOKEN),
    "logging out twice": (_log_out_twice, None),
    "logging out with an expired token": (_log_out_expired, None),
    "whoami after logging out": (_ask_after_log_out, UNKNOWN_TOKEN),
}


ASKED = {"whoami": "GET account/whoami", "logout": "POST logout"}
"""What is asked for besides POST /login, by the first word of a name."""
REFUSED = {
    # Routine (`support.log_guard`).
    "whether there is OAuth": {},
    # Each is asked once more whether it has ended.
    "logging out twice": {"401 GET pushers": 1, "401 GET account/whoami": 2},
    "whoami after logging out": {"401 GET account/whoami": 2},
    "logging out with an expired token": {"401 GET pushers": 1, "401 GET account/whoami": 1},
}
"""What is refused besides, or more often than once, and how often."""


def refusals_of(name: str) -> dict[str, int]:
    outcome = REQUESTS[name][1]
    if name in REFUSED or outcome is None:
        return REFUSED.get(name, {})
    return {f"{outcome[0]} {ASKED.get(name.partition(' ')[0], 'POST login')}": 1}


@pytest.mark.parametrize("name", REQUESTS)
async def test_signing_in_and_out_is_answered_or_refused_as_by_the_real_one(
    place: Place, name: str, expect_refusals: ExpectRefusals
) -> None:
    for refusal, times in refusals_of(name).items():
        expect_refusals(refusal, times=times)
    request, outcome = REQUESTS[name]
    assert await _outcome(request(place)) == outcome


async def test_a_token_tells_its_device_and_a_device_can_be_asked_for(place: Place) -> None:
    device = await place.sign_in("DESK")
    assert device.device_id == "DESK"
    assert await recognise(place.session, place.user_id) == device


async def test_a_device_that_signs_out_takes_its_own_pushers_along_and_no_others(
    place: Place, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals("401 GET account/whoami")
    await place.sign_in("PHONE")
    client = HomeserverClient(place.session)
    await client.set_pusher(make_pusher(app_id="phone", pushkey="phone"))
    await place.sign_in("DESK")
    for app_id in ("first", "second"):
        await client.set_pusher(make_pusher(app_id=app_id, pushkey="desk"))
    await log_out(place.session, "desk")
    await place.sign_in("ANOTHER")
    assert [pusher.app_id for pusher in await client.pushers()] == ["phone"]


async def test_a_device_removes_the_pushers_that_an_earlier_one_of_the_user_left_behind(place: Place) -> None:
    await place.sign_in("OLD")
    client = HomeserverClient(place.session)
    for pushkey in ("phone", "old"):
        await client.set_pusher(make_pusher(app_id="app", pushkey=pushkey))
    await place.sign_in("NEW")
    await remove_pushers(place.session, "old")
    assert [pusher.pushkey for pusher in await client.pushers()] == ["phone"]


async def _outcome(request: Awaitable[Any]) -> Outcome:
    """Commands are told of a refusal in words, whose cause it is."""
    try:
        await request
    except (Refused, LoggedOut, BadAnswer, UserError) as error:
        cause = error.__cause__ if isinstance(error, UserError) else error
        if isinstance(cause, LoggedOut):
            assert not cause.soft
            return UNKNOWN_TOKEN
        if isinstance(cause, BadAnswer):
            # A 401 that says nothing of our token is no sign-out.
            assert "M_MISSING_TOKEN" in str(cause)
            return MISSING_TOKEN
        assert isinstance(cause, Refused)
        return cause.status, cause.errcode
    return None
