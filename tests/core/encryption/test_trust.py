from __future__ import annotations

import pytest

from heliograph.core.encryption.trust import OwnKeys, Standing, explain_standing, judge_standing
from heliograph.core.encryption.values import DeviceKeys
from support.builders import ME

DEVICES = {"D": DeviceKeys(ME, "D", "curve", "ed")}
SIGNED = OwnKeys("master", "self-signing", DEVICES, frozenset({"D"}))
UNSIGNED = OwnKeys("master", "self-signing", DEVICES)


@pytest.mark.parametrize(
    ("own", "pinned", "standing"),
    [
        (SIGNED, None, Standing.VERIFIED),
        (SIGNED, "master", Standing.VERIFIED),
        (UNSIGNED, None, Standing.UNVERIFIED),
        (UNSIGNED, "master", Standing.UNVERIFIED),
        (OwnKeys(), None, Standing.NO_IDENTITY),
        (OwnKeys("master", None, DEVICES), None, Standing.NO_IDENTITY),
        (SIGNED, "another", Standing.IDENTITY_CHANGED),
        (OwnKeys(), "master", Standing.IDENTITY_CHANGED),
    ],
)
def test_the_owner_vouches_for_the_device_or_not(own: OwnKeys, pinned: str | None, standing: Standing) -> None:
    assert judge_standing(own, "D", pinned) is standing


def test_what_is_not_well_is_told_with_what_to_do() -> None:
    for standing in Standing:
        told = explain_standing(standing, ME)
        if standing in (Standing.VERIFIED, Standing.UNKNOWN):
            assert told is None
        else:
            assert told is not None
            assert f"heliograph verify {ME}" in told[1]


def test_devices_are_known_by_their_fingerprints() -> None:
    assert SIGNED.known.devices == {"D": "ed"}
    assert SIGNED.known.master == "master"
