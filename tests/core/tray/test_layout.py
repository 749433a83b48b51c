"""The menu as hosts of com.canonical.dbusmenu know it."""

from __future__ import annotations

from heliograph.core.tray.layout import MOST_GONE, LayoutChange, MenuLayout, properties_of
from heliograph.core.tray.menu import Command, CommandKind, MenuEntry

LUNCH = MenuEntry("room lunch", "Lunch: 1", Command(CommandKind.OPEN, room_id="!lunch"))
DINNER = MenuEntry("room dinner", "Dinner: 1", Command(CommandKind.OPEN, room_id="!dinner"))
QUIT = MenuEntry("quit", "Quit", Command(CommandKind.QUIT))


def test_an_entry_keeps_its_id_and_no_id_is_given_twice() -> None:
    layout = MenuLayout([LUNCH, QUIT])
    assert [*layout.ids] == [1, 2]
    layout.take([DINNER, LUNCH, QUIT])
    assert [*layout.ids] == [3, 1, 2]
    layout.take([QUIT])
    layout.take([LUNCH, MenuEntry("new", "New"), QUIT])
    assert [*layout.ids] == [1, 4, 2]


def test_a_click_means_what_the_user_saw() -> None:
    layout = MenuLayout([LUNCH, QUIT])
    layout.take([DINNER, QUIT])
    assert layout.find(1) == LUNCH
    assert layout.find(3) == DINNER
    assert layout.find(4) is None
    for number in range(MOST_GONE + 1):
        layout.take([MenuEntry(str(number), "x"), QUIT])
    assert layout.find(1) is None


def test_the_revision_grows_when_entries_come_go_or_move_and_not_for_a_label() -> None:
    layout = MenuLayout([LUNCH, QUIT])
    assert layout.revision == 1
    assert layout.take([LUNCH, QUIT]) == LayoutChange()
    assert not layout.take([LUNCH, QUIT])
    assert layout.revision == 1
    more = MenuEntry(LUNCH.key, "Lunch: 2", LUNCH.command)
    assert layout.take([more, QUIT]) == LayoutChange({1: properties_of(more)})
    assert layout.revision == 1
    assert layout.take([QUIT, more]) == LayoutChange(is_rearranged=True)
    assert layout.revision == 2
    assert layout.take([QUIT, LUNCH, DINNER]) == LayoutChange({1: properties_of(LUNCH)}, is_rearranged=True)
    assert layout.take([QUIT])
    assert layout.revision == 4


def test_an_underscore_of_a_name_is_no_key() -> None:
    assert properties_of(MenuEntry("room", "my_room__: 1")) == {
        "label": "my__room____: 1",
        "enabled": False,
        "visible": True,
    }


def test_a_separator_is_one() -> None:
    assert properties_of(MenuEntry("line", is_separator=True, is_visible=False)) == {
        "type": "separator",
        "visible": False,
    }
