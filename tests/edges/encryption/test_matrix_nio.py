"""Each part of matrix-nio and vodozemac that is used and not promised: a version that lacks one is found out here."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import pytest
import vodozemac
from nio.crypto import (  # type: ignore[import-untyped]
    DeviceStore,
    InboundGroupSession,
    Olm,
    OlmAccount,
    OutboundGroupSession,
    Session,
)

KEY = "pickle key"


def test_the_version_is_the_one_that_was_tried() -> None:
    assert version("matrix-nio") == "0.26.0"
    assert version("vodozemac").startswith("0.10.")


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (Olm.__init__, ["self", "user_id", "device_id", "store"]),
        (Olm.decrypt, ["self", "sender", "sender_key", "message"]),
        (Olm.create_session, ["self", "one_time_key", "curve_key"]),
        (Olm._olm_encrypt, ["self", "session", "recipient_device", "message_type", "content"]),
        (Olm._handle_olm_event, ["self", "sender", "sender_key", "payload"]),
        (Olm._mark_device_for_unwedging, ["self", "sender", "sender_key"]),
        (Olm.save_account, ["self", "account"]),
        (Olm.sign_json, ["self", "json_dict"]),
        (Olm.verify_json, ["self", "json", "user_key", "user_id", "device_id"]),
        (Olm.mark_keys_as_published, ["self"]),
    ],
)
def test_the_machine_has_the_methods_that_are_called_or_replaced(function: object, parameters: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == parameters  # type: ignore[arg-type]


def test_the_machine_asks_its_store_for_nothing_else() -> None:
    asked: set[str] = set()

    class Store:
        def __getattr__(self, name: str) -> object:
            asked.add(name)
            return lambda *_: None

    Olm("@me:example.org", "D", Store())
    expected = {"load_account", "save_account", "load_sessions", "load_inbound_group_sessions", "load_device_keys"}
    assert asked == expected | {"load_outgoing_key_requests"}


def test_an_account_is_pickled_and_tells_whether_it_was_published() -> None:
    account = OlmAccount()
    again = OlmAccount.from_pickle(account.pickle(KEY), KEY, True)
    assert again.identity_keys == account.identity_keys
    assert again.shared
    with pytest.raises(ValueError, match=r".*"):
        OlmAccount.from_pickle(account.pickle(KEY), "another key", True)


def test_an_account_makes_one_time_keys_and_fallback_keys_until_they_are_published() -> None:
    account = OlmAccount()._account
    account.generate_one_time_keys(3)
    account.generate_fallback_key()
    assert len(account.one_time_keys) == 3
    assert len(account.fallback_key) == 1
    assert account.max_number_of_one_time_keys == 50
    account.mark_keys_as_published()
    assert not account.one_time_keys
    assert not account.fallback_key


def test_room_keys_are_pickled_compared_and_told_their_first_message() -> None:
    outbound = OutboundGroupSession()
    outbound.mark_as_shared()
    first = InboundGroupSession(outbound.session_key, "ed25519", "curve25519", "!room:example.org")
    outbound.encrypt("one")
    second = InboundGroupSession(outbound.session_key, "ed25519", "curve25519", "!room:example.org")
    assert (first.first_known_index, second.first_known_index) == (0, 1)
    assert first.export_session(1) == second.export_session(1)
    pickled = InboundGroupSession.from_pickle(first.pickle(KEY), "ed25519", "curve25519", "!room:example.org", KEY)
    assert pickled.id == first.id == outbound.id
    message = vodozemac.MegolmMessage.from_base64(outbound.encrypt("two"))
    assert message.message_index() == 1
    assert pickled._session.decrypt(message).plaintext == b"two"
    stranger = OutboundGroupSession()
    stranger.mark_as_shared()
    with pytest.raises(vodozemac.MegolmDecryptionException):
        second._session.decrypt(vodozemac.MegolmMessage.from_base64(stranger.encrypt("three")))


def test_sessions_are_pickled_with_their_times() -> None:
    alice, bob = OlmAccount(), OlmAccount()
    bob.generate_one_time_keys(1)
    one_time_key = next(iter(bob.one_time_keys["curve25519"].values()))
    session = Session(alice.create_outbound_session(bob.identity_keys["curve25519"], one_time_key))
    again = Session.from_pickle(session.pickle(KEY), session.creation_time, KEY, session.use_time)
    assert (again.id, again.use_time) == (session.id, session.use_time)


def test_a_device_store_is_empty_at_first() -> None:
    assert list(DeviceStore()) == []
