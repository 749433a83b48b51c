"""Two devices of one user compare emoji; what one of them may do wrong ends it, for a reason that has a name."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from heliograph.core.encryption.values import Identity
from heliograph.core.encryption.verification import KnownKeys, Phase, Verification
from heliograph.core.encryption.verification_events import (
    METHOD,
    REASONS,
    TIMEOUT_MS,
    Message,
    Request,
    read_request,
    transaction_of,
)
from heliograph.core.ids import UserId
from heliograph.encryption.identity.sas import SasAgreement

USER = UserId("@me:example.org")
NOW = 1_700_000_000_000
HERE = Identity(USER, "HERE", "curve-here", "ed-here")
THERE = Identity(USER, "THERE", "curve-there", "ed-there")
KNOWN = KnownKeys({"HERE": "ed-here", "THERE": "ed-there", "ELSEWHERE": "ed-elsewhere"}, "master")


class Pair:
    """Two devices, one of which asked the other, and the messages between them."""

    def __init__(self, asking: Identity = HERE, *, known: KnownKeys = KNOWN, others: tuple[str, ...] = ()) -> None:
        asked = THERE if asking is HERE else HERE
        self.asking = self._make(asking, known)
        self.asked = self._make(asked, known)
        self.by_id = {asking.device_id: self.asking, asked.device_id: self.asked}
        self.elsewhere: list[Message] = []
        self.log: list[str] = []
        self._ways: deque[tuple[str, Message]] = deque()
        self.asking_id, self.asked_id = asking.device_id, asked.device_id
        (request,) = self.asking.request((asked.device_id, *others), NOW)
        read = read_request(request.content, NOW)
        assert read == Request("t1", asking.device_id)

    def _make(self, own: Identity, known: KnownKeys) -> Verification:
        return Verification("t1", own, known, NOW, SasAgreement)

    def carry(self, messages: list[Message]) -> None:
        """Brings these, and all that they give rise to, to where they belong."""
        self._ways.extend((device_id, message) for message in messages for device_id in message.devices)
        while self._ways:
            device_id, message = self._ways.popleft()
            self.log.append(f"{message.type.rpartition('.')[2]} to {device_id}")
            if device_id not in self.by_id:
                self.elsewhere.append(message)
                continue
            answers = self.by_id[device_id].receive(message.type.removeprefix("m.key.verification."), message.content)
            self._ways.extend((other, answer) for answer in answers for other in answer.devices)

    def compare(self) -> None:
        self.carry(self.asked.ready(self.asking_id))

    def phases(self) -> tuple[Phase, Phase]:
        return self.asking.phase, self.asked.phase


@pytest.mark.parametrize("asking", [HERE, THERE])
@pytest.mark.parametrize("is_asking_first", [True, False])
def test_both_see_the_same_emoji_and_are_done_when_both_say_so(asking: Identity, is_asking_first: bool) -> None:
    pair = Pair(asking)
    pair.compare()
    assert pair.phases() == (Phase.COMPARING, Phase.COMPARING)
    assert pair.asking.emoji == pair.asked.emoji
    assert len(pair.asking.emoji) == 7
    assert pair.asking.decimals == pair.asked.decimals
    first, second = (pair.asking, pair.asked) if is_asking_first else (pair.asked, pair.asking)
    pair.carry(first.confirm())
    assert (first.phase, second.phase) == (Phase.CONFIRMED, Phase.COMPARING)
    pair.carry(second.confirm())
    assert pair.phases() == (Phase.DONE, Phase.DONE)
    assert pair.asking.is_over
    assert pair.asking.other == pair.asked_id


def test_whoever_asked_begins() -> None:
    pair = Pair()
    pair.compare()
    assert pair.log == ["ready to HERE", "start to THERE", "accept to HERE", "key to THERE", "key to HERE"]


@pytest.mark.parametrize("others", list(permutations(["ELSEWHERE", "GONE"])))
def test_of_several_devices_the_first_one_ready_is_the_one(others: tuple[str, ...]) -> None:
    pair = Pair(others=others)
    pair.compare()
    (told,) = pair.elsewhere[:1]
    assert told.type == "m.key.verification.cancel"
    assert told.content["code"] == "m.accepted"
    assert set(told.devices) == set(others)
    late = {"from_device": "ELSEWHERE", "methods": [METHOD], "transaction_id": "t1"}
    pair.carry(pair.asking.receive("ready", late))
    assert pair.phases() == (Phase.CANCELLED, Phase.CANCELLED)


@pytest.mark.parametrize("asking", [HERE, THERE])
def test_if_both_begin_at_once_one_gives_way(asking: Identity) -> None:
    pair = Pair(asking)
    asked_start = a_start(pair.asked_id)
    (ready,) = pair.asked.ready(pair.asking_id)
    [asking_start] = pair.asking.receive("ready", ready.content)
    pair.asked._start, pair.asked._is_start_ours, pair.asked.phase = asked_start, True, Phase.EXCHANGING
    crossing = pair.asking.receive("start", asked_start)
    pair.carry([asking_start, *crossing])
    assert pair.phases() == (Phase.COMPARING, Phase.COMPARING)
    assert pair.asking.emoji == pair.asked.emoji
    assert pair.by_id["HERE"]._is_start_ours
    assert not pair.by_id["THERE"]._is_start_ours


def test_different_emoji_end_it_on_both_sides() -> None:
    pair = Pair()
    pair.compare()
    pair.carry(pair.asking.differ())
    assert pair.phases() == (Phase.CANCELLED, Phase.CANCELLED)
    assert pair.asked.code == "m.mismatched_sas"
    assert pair.asking.confirm() == pair.asking.differ() == pair.asking.cancel() == []


def test_nothing_can_be_confirmed_before_there_are_emoji() -> None:
    pair = Pair()
    assert pair.asking.confirm() == pair.asking.differ() == []
    assert pair.asking.phase is Phase.REQUESTED


def test_either_may_end_it() -> None:
    pair = Pair()
    pair.carry(pair.asking.cancel())
    assert (pair.asked.phase, pair.asked.code) == (Phase.CANCELLED, "m.user")


@pytest.mark.parametrize("moved", [TIMEOUT_MS + 1, -TIMEOUT_MS - 1])
def test_it_ends_when_it_takes_too_long_or_the_clock_is_set(moved: int) -> None:
    verification = Pair().asking
    assert verification.expire(NOW + TIMEOUT_MS) == []
    (message,) = verification.expire(NOW + moved)
    assert message.content["code"] == verification.code == "m.timeout"
    assert verification.expire(NOW + moved) == []


# Who vouches for what


def test_the_master_key_is_confirmed_only_by_whoever_vouches_for_it() -> None:
    pair = Pair()
    pair.compare()
    pair.asking.confirm()
    pair.asking.receive("mac", a_mac(pair, {"ed25519:THERE": "ed-there"}))
    assert (pair.asking.phase, pair.asking.is_master_confirmed) == (Phase.DONE, False)
    pair = Pair()
    pair.compare()
    pair.asking.confirm()
    keys = {"ed25519:THERE": "ed-there", "ed25519:master": "master", "ed25519:unheard-of": "x"}
    pair.asking.receive("mac", a_mac(pair, keys))
    assert (pair.asking.phase, pair.asking.is_master_confirmed) == (Phase.DONE, True)


def test_without_a_master_key_there_is_none_to_confirm() -> None:
    pair = Pair(known=replace(KNOWN, master=None))
    pair.compare()
    pair.asking.confirm()
    pair.asking.receive("mac", a_mac(pair, {"ed25519:THERE": "ed-there", "ed25519:None": "None"}))
    assert (pair.asking.phase, pair.asking.is_master_confirmed) == (Phase.DONE, False)


def test_a_device_that_has_other_keys_than_the_homeserver_says_is_not_verified() -> None:
    for known in (
        replace(KNOWN, devices={"HERE": "ed-here", "THERE": "another"}),
        replace(KNOWN, devices={"HERE": "another", "THERE": "ed-there"}),
    ):
        pair = Pair(known=known)
        pair.compare()
        pair.carry(pair.asking.confirm())
        pair.carry(pair.asked.confirm())
        assert (pair.asking.phase, pair.asking.code) == (Phase.CANCELLED, "m.key_mismatch")


@pytest.mark.parametrize(
    "keys",
    [
        {"ed25519:ELSEWHERE": "ed-elsewhere"},
        {"ed25519:THERE": "ed-there", "ed25519:master": "another master"},
        {"ed25519:THERE": "another"},
    ],
)
def test_a_mac_of_other_keys_is_a_mismatch(keys: dict[str, str]) -> None:
    pair = Pair()
    pair.compare()
    (cancel,) = pair.asking.receive("mac", a_mac(pair, keys))
    assert cancel.content["code"] == "m.key_mismatch"


def test_a_device_that_the_homeserver_does_not_know_is_not_verified() -> None:
    known = replace(KNOWN, devices={"HERE": "ed-here"})
    (cancel,) = Pair(known=known).asked.ready("HERE")[:1]
    assert cancel.type.endswith("ready")
    (cancel,) = Pair(THERE, known=known).asked.ready("THERE")
    assert cancel.content["code"] == "m.key_mismatch"
    pair = Pair(known=known)
    pair.compare()
    assert pair.asking.code == "m.key_mismatch"


# What the other side may do wrong

READY: dict[str, Any] = {"from_device": "THERE", "methods": [METHOD]}
ACCEPT: dict[str, Any] = {
    "method": METHOD,
    "key_agreement_protocol": "curve25519-hkdf-sha256",
    "hash": "sha256",
    "message_authentication_code": "hkdf-hmac-sha256.v2",
    "short_authentication_string": ["decimal", "emoji"],
    "commitment": "x",
}


def a_start(device_id: str = "THERE", **changes: Any) -> dict[str, Any]:
    return {
        "from_device": device_id,
        "method": METHOD,
        "key_agreement_protocols": ["curve25519-hkdf-sha256"],
        "hashes": ["sha256"],
        "message_authentication_codes": ["hkdf-hmac-sha256.v2", "hkdf-hmac-sha256"],
        "short_authentication_string": ["decimal"],
        "transaction_id": "t1",
        **changes,
    }


def a_mac(pair: Pair, keys: dict[str, str]) -> dict[str, Any]:
    """What the other device would say of these keys."""
    mac = pair.asked._mac
    macs = {key_id: mac(text, key_id, is_ours=True) for key_id, text in keys.items()}
    return {"mac": macs, "keys": mac(",".join(sorted(keys)), "KEY_IDS", is_ours=True)}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({**READY, "from_device": "STRANGER"}, "m.unexpected_message"),
        ({**READY, "from_device": 7}, "m.unexpected_message"),
        ({**READY, "from_device": "\ud800"}, "m.unexpected_message"),
        ({**READY, "methods": ["m.qr_code.show.v1"]}, "m.unknown_method"),
        ({**READY, "methods": METHOD}, "m.unknown_method"),
        ({}, "m.unexpected_message"),
    ],
)
def test_a_wrong_ready_ends_it(content: dict[str, Any], code: str) -> None:
    (cancel, *_) = Pair().asking.receive("ready", content)
    assert (cancel.type, cancel.content["code"]) == ("m.key.verification.cancel", code)
    assert cancel.content["reason"] == REASONS[code]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"from_device": "ELSEWHERE"}, "m.unexpected_message"),
        ({"method": "m.reciprocate.v1"}, "m.unknown_method"),
        ({"key_agreement_protocols": ["curve25519"]}, "m.unknown_method"),
        ({"hashes": []}, "m.unknown_method"),
        ({"message_authentication_codes": ["hkdf-hmac-sha256"]}, "m.unknown_method"),
        ({"short_authentication_string": ["emoji"]}, "m.unknown_method"),
        ({"junk": 0.5}, "m.invalid_message"),
        ({"junk": "\ud800"}, "m.invalid_message"),
    ],
)
def test_a_wrong_start_ends_it(changes: dict[str, Any], code: str) -> None:
    pair = Pair(THERE)
    pair.asked.ready("THERE")
    (cancel,) = pair.asked.receive("start", a_start(**changes))
    assert cancel.content["code"] == code


def test_a_start_before_ready_ends_it() -> None:
    (cancel,) = Pair(THERE).asked.receive("start", a_start())
    assert cancel.content["code"] == "m.unexpected_message"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"hash": "md5"}, "m.unknown_method"),
        ({"message_authentication_code": "hkdf-hmac-sha256"}, "m.unknown_method"),
        ({"key_agreement_protocol": None}, "m.unknown_method"),
        ({"short_authentication_string": []}, "m.unknown_method"),
        ({"commitment": 7}, "m.invalid_message"),
    ],
)
def test_a_wrong_accept_ends_it(changes: dict[str, Any], code: str) -> None:
    pair = Pair()
    pair.asking.receive("ready", READY)
    (cancel,) = pair.asking.receive("accept", {**ACCEPT, **changes})
    assert cancel.content["code"] == code


@pytest.mark.parametrize("before", [[], [("ready", READY)], [("ready", READY), ("accept", ACCEPT)]])
@pytest.mark.parametrize("type_", ["ready", "start", "accept", "key", "mac", "done"])
def test_what_comes_out_of_turn_ends_it(type_: str, before: list[tuple[str, dict[str, Any]]]) -> None:
    if (type_, len(before)) in {("ready", 0), ("start", 1), ("accept", 1), ("key", 2)}:
        return  # in turn
    verification = Pair().asking
    for told, content in before:
        verification.receive(told, content)
    (cancel,) = verification.receive(type_, {})
    assert cancel.content["code"] == "m.unexpected_message"


def test_a_key_other_than_the_promised_one_ends_it() -> None:
    pair = Pair()
    pair.asking.receive("ready", READY)
    pair.asking.receive("accept", ACCEPT)
    (cancel,) = pair.asking.receive("key", {"key": SasAgreement().public_key})
    assert cancel.content["code"] == "m.mismatched_commitment"


@pytest.mark.parametrize("key", [None, "", "no key", "A" * 43, 7])
def test_what_is_no_key_ends_it(key: Any) -> None:
    pair = Pair(THERE)
    pair.asked.ready("THERE")
    pair.asked.receive("start", a_start())
    (cancel,) = pair.asked.receive("key", {"key": key})
    assert cancel.content["code"] == "m.invalid_message"


@pytest.mark.parametrize("macs", [None, {}, [], {str(number): "x" for number in range(101)}])
def test_a_malformed_mac_ends_it(macs: Any) -> None:
    pair = Pair()
    pair.compare()
    (cancel,) = pair.asking.receive("mac", {"mac": macs, "keys": "x"})
    assert cancel.content["code"] == "m.invalid_message"


@pytest.mark.parametrize("keys", [None, 7, "x", "\ud800"])
def test_a_mac_of_the_ids_that_does_not_fit_is_a_mismatch(keys: Any) -> None:
    pair = Pair()
    pair.compare()
    (cancel,) = pair.asking.receive("mac", {"mac": {"ed25519:THERE": "x"}, "keys": keys})
    assert cancel.content["code"] == "m.key_mismatch"


def test_a_second_mac_ends_it() -> None:
    pair = Pair()
    pair.compare()
    mac = a_mac(pair, {"ed25519:THERE": "ed-there"})
    assert pair.asking.receive("mac", mac) == []
    (cancel,) = pair.asking.receive("mac", mac)
    assert cancel.content["code"] == "m.unexpected_message"


@pytest.mark.parametrize("code", [None, 7, "m.made_up"])
def test_a_cancellation_needs_no_good_reason(code: Any) -> None:
    verification = Pair().asking
    assert verification.receive("cancel", {"code": code}) == []
    assert verification.phase is Phase.CANCELLED
    assert verification.code == (code if isinstance(code, str) else "m.unknown")
    assert verification.receive("done", {}) == verification.receive("key", {}) == []


def test_an_event_of_unknown_type_changes_nothing() -> None:
    verification = Pair().asking
    assert verification.receive("dance", {}) == []
    assert verification.phase is Phase.REQUESTED


# Requests


def a_request(**changes: Any) -> dict[str, Any]:
    return {"transaction_id": "t1", "from_device": "THERE", "methods": [METHOD], "timestamp": NOW, **changes}


@pytest.mark.parametrize("age", [-5 * 60_000, 0, TIMEOUT_MS])
def test_a_request_is_good_for_ten_minutes(age: int) -> None:
    assert read_request(a_request(timestamp=NOW - age), NOW) == Request("t1", "THERE")


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": NOW - TIMEOUT_MS - 1},
        {"timestamp": NOW + 5 * 60_000 + 1},
        {"timestamp": "now"},
        {"transaction_id": None},
        {"transaction_id": "x" * 256},
        {"from_device": ["THERE"]},
        {"methods": ["m.qr_code.show.v1"]},
        {"methods": {"a": METHOD}},
    ],
)
def test_what_is_no_good_request_is_none(changes: dict[str, Any]) -> None:
    assert read_request(a_request(**changes), NOW) is None


def test_an_event_names_its_transaction() -> None:
    assert transaction_of({"transaction_id": "t1"}) == "t1"
    assert transaction_of({"transaction_id": 1}) is None


def test_the_other_device_may_be_done_first() -> None:
    pair = Pair()
    pair.compare()
    pair.asking.confirm()
    assert pair.asking.receive("done", {}) == []
    pair.asking.receive("mac", a_mac(pair, {"ed25519:THERE": "ed-there"}))
    assert pair.asking.phase is Phase.DONE
