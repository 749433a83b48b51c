"""The pixels of the tray icon."""

from __future__ import annotations

import pytest

from heliograph.core.tray.drawing import LOOKS, SIZES, Look, draw_icon
from heliograph.core.tray.item import Icon

Pixel = tuple[int, int, int, int]
WHITE = LOOKS["light"]


def pixels(icon: Icon, look: Look, size: int = 48) -> list[Pixel]:
    """Opacity, red, green and blue of each pixel, row by row."""
    drawn = draw_icon(icon, look, size)
    return [(drawn[place], *drawn[place + 1 : place + 4]) for place in range(0, len(drawn), 4)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("badge", ["", "1", "42", "99+", "!"])
@pytest.mark.parametrize("look", [Look(), WHITE])
def test_each_size_has_four_bytes_for_each_pixel(size: int, badge: str, look: Look) -> None:
    assert len(draw_icon(Icon(badge), look, size)) == size * size * 4


def test_opacity_comes_first_and_blue_last() -> None:
    # The middle of the plate's left edge: a blue that is far from red, and opaque.
    assert pixels(Icon(), Look())[24 * 48 + 4] == (255, 76, 130, 202)
    # Beyond its round corner there is nothing.
    assert pixels(Icon(), Look())[0] == (0, 0, 0, 0)


def test_an_icon_of_one_colour_has_no_other() -> None:
    for setting, colour in (("light", (255, 255, 255)), ("dark", (46, 52, 54))):
        drawn = pixels(Icon(), LOOKS[setting])
        assert {each[1:] for each in drawn if each[0]} == {colour}
        assert {each[0] for each in drawn} >= {0, 255}


def test_highlights_are_red_in_every_look() -> None:
    for look in (Look(), WHITE):
        assert (255, 192, 28, 40) in pixels(Icon("3", is_urgent=True), look)
        assert (255, 192, 28, 40) not in pixels(Icon("3"), look)


@pytest.mark.parametrize("setting", [*LOOKS])
def test_the_number_stands_out_from_its_badge(setting: str) -> None:
    look = LOOKS[setting]
    drawn = pixels(Icon("8"), look)
    badge, ink = look.badge, look.on_badge
    assert {(255, badge.red, badge.green, badge.blue), (255, ink.red, ink.green, ink.blue)} <= set(drawn)
    assert abs(sum((badge.red, badge.green, badge.blue)) - sum((ink.red, ink.green, ink.blue))) > 250


@pytest.mark.parametrize("size", SIZES)
def test_numbers_differ_in_every_size(size: int) -> None:
    drawn = {draw_icon(Icon(str(number)), WHITE, size) for number in range(12)}
    assert len(drawn) == 12


def test_the_smallest_icon_has_no_room_for_three_characters() -> None:
    assert draw_icon(Icon("99+"), WHITE, 16) == draw_icon(Icon("9+"), WHITE, 16)
    assert draw_icon(Icon("99+"), WHITE, 22) != draw_icon(Icon("9+"), WHITE, 22)


def test_in_quiet_the_icon_is_dim_and_its_badge_is_not() -> None:
    dim = pixels(Icon("8", is_dim=True), WHITE)
    assert sum(each[0] for each in pixels(Icon(is_dim=True), WHITE)) < sum(each[0] for each in pixels(Icon(), WHITE))
    assert dim[-4 * 48 - 5] == pixels(Icon("8"), WHITE)[-4 * 48 - 5] == (255, 255, 255, 255)
