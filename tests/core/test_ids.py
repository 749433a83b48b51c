"""Which room ids may stand in a filter."""

from __future__ import annotations

import pytest

from heliograph.core.ids import MAX_BYTES, fits_filter

HASH = "A" * 41 + "-_"


@pytest.mark.parametrize(
    "room_id",
    [
        "!a:example.org",
        "!a:localhost",
        "!a:example.org:8448",
        "!a:127.0.0.1:80",
        "!a:[::1]",
        "!a:[2001:db8::1]:8448",
        "!:example.org",
        "!ü /?#%:example.org",
        f"!{HASH}",
        "!" + "a" * (MAX_BYTES - 9) + ":abc.org",
    ],
)
def test_rooms_that_homeservers_make_fit(room_id: str) -> None:
    assert fits_filter(room_id)


@pytest.mark.parametrize(
    "room_id",
    [
        "",
        "!",
        "!:",
        "a:example.org",
        "$a:example.org",
        "!nothing",
        "!" + HASH[:-1],
        f"!{HASH}A",
        f"!{HASH}\n",
        f"!{HASH[:-1]}+",
        "!x:in_valid",
        "!x:y:z",
        "!x:e..x",
        "!x:.e",
        "!x:e.",
        "!x:e ",
        "!x:e\n",
        "!x:é.org",
        "!x:e:",
        "!x:e:123456",
        "!x:e:8:8",
        "!x:e:+8",
        "!x:e:\u0668",
        "!x:[::1",
        "!x:[]",
        "!x:[:::]",
        "!x:[::1%eth0]",
        "!x:::1",
        "!x\0:e",
        "!x\ud800:e",
        "!" + "a" * (MAX_BYTES - 8) + ":abc.org",
        "!" + "é" * 125 + ":abc.org",
    ],
)
def test_what_a_homeserver_may_refuse_does_not(room_id: str) -> None:
    assert not fits_filter(room_id)
