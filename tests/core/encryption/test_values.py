"""Values of encryption: what may still be read, and the words for what cannot."""

from __future__ import annotations

import pytest

from heliograph.core.encryption.values import KeyUpload, Locked, Reason, Received, RoomKey
from heliograph.core.ids import RoomId

KEY = RoomKey(RoomId("!room:example.org"), "session")


@pytest.mark.parametrize("reason", [Reason.NO_KEY, Reason.WITHHELD, Reason.KEY_STARTS_LATER, Reason.WRONG_SENDER])
def test_a_key_that_comes_later_may_open_what_lacks_one(reason: Reason) -> None:
    assert Locked(reason, KEY).may_open
    assert not Locked(reason).may_open


@pytest.mark.parametrize("reason", [Reason.MALFORMED, Reason.WRONG_ROOM, Reason.REPLAYED])
def test_nothing_opens_what_is_wrong_in_itself(reason: Reason) -> None:
    assert not Locked(reason, KEY).may_open


def test_a_withheld_key_says_why() -> None:
    locked = Locked(Reason.WITHHELD, KEY, "m.unverified")
    assert locked.words == "its sender withheld the key: this device is not verified"


def test_a_code_that_nobody_knows_is_said_as_it_is() -> None:
    assert Locked(Reason.WITHHELD, KEY, "org.example.moon").words == "its sender withheld the key: org.example.moon"


def test_other_reasons_stand_alone() -> None:
    assert Locked(Reason.NO_KEY, KEY).words == "its key has not come"


def test_what_came_inside_olm_is_told_from_plain_text() -> None:
    assert Received("m.secret.send", "@me:example.org", {}, "curve25519").is_encrypted
    assert not Received("m.key.verification.request", "@me:example.org", {}).is_encrypted


def test_an_upload_of_nothing_is_empty() -> None:
    assert KeyUpload().is_empty
    assert not KeyUpload(fallback_keys={"signed_curve25519:AAAA": {}}).is_empty
