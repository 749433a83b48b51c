"""Pictures in the size that a notification server likes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.notification import Picture
from heliograph.core.popups.looks import fit_picture

RED, BLUE, CLEAR = bytes((200, 0, 0, 255)), bytes((0, 0, 100, 255)), bytes((0, 0, 0, 0))
SIDES = st.integers(1, 9)


def test_a_picture_that_is_small_enough_stays_as_it_is() -> None:
    picture = Picture(2, 2, RED * 4)
    assert fit_picture(picture, 2) is picture


def test_four_pixels_become_one_of_their_mean() -> None:
    assert fit_picture(Picture(2, 2, (RED + BLUE) * 2), 1) == Picture(1, 1, bytes((100, 0, 50, 255)))


def test_what_cannot_be_seen_does_not_colour_what_can() -> None:
    assert fit_picture(Picture(2, 2, RED + CLEAR + CLEAR + CLEAR), 1) == Picture(1, 1, bytes((200, 0, 0, 63)))
    assert fit_picture(Picture(2, 2, CLEAR * 4), 1) == Picture(1, 1, CLEAR)


@given(SIDES, SIDES)
def test_a_picture_of_one_colour_keeps_it_whatever_its_size(side: int, most: int) -> None:
    fitting = fit_picture(Picture(side, side, RED * side**2), most)
    assert 1 <= fitting.width == fitting.height <= most
    assert fitting.pixels == RED * fitting.width**2
