"""What each status bar is told: one line that it takes for what it is, whatever rooms are called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heliograph.core.summary.bar import (
    FORMATS,
    NAME_LIMIT,
    ROOM_LINES,
    BarState,
    TemplateError,
    escape_pango,
    read_format,
)
from heliograph.core.summary.summary import RoomCount, Summary
from support.builders import ALICE, ME, ROOM

EVIL = '<b>&"x"\'</b>\u202e\n%{A1:rm:}{unread}'


def make_bar(*rooms: RoomCount, quiet: str = "", **summary: Any) -> BarState:
    """Connected, with what is unread in these rooms."""
    defaults: dict[str, Any] = {
        "state": "connected",
        "accounts": ((ME, "connected"),),
        "rooms": rooms,
        "unread": sum(room.unread for room in rooms),
        "highlights": sum(room.highlights for room in rooms),
    }
    return BarState(Summary(**(defaults | summary)), quiet)


def make_room(title: str = "Lunch", unread: int = 2, highlights: int = 0) -> RoomCount:
    return RoomCount(ME, ROOM, title, unread, highlights)


STOPPED = BarState()
NOTHING = make_bar()
SOME = make_bar(make_room())
LOUD = make_bar(make_room(), make_room("Work", 3, 1))
OFFLINE = make_bar(make_room(), state="offline", accounts=((ME, "offline"), (ALICE, "connected")))
QUIET = make_bar(make_room(), quiet="paused until 08:00")


@pytest.mark.parametrize(
    ("bar", "text", "classes"),
    [
        (STOPPED, "!", ("offline", "stopped")),
        (NOTHING, "", ("none",)),
        (SOME, "2", ("unread",)),
        (LOUD, "5", ("highlight", "unread")),
        (OFFLINE, "!2", ("offline", "unread")),
        (QUIET, "z2", ("quiet", "unread")),
        (make_bar(quiet="paused"), "z", ("quiet",)),
        (make_bar(state="connecting"), "", ("none",)),
        (make_bar(state="waiting for keyring"), "!", ("offline", "waiting-for-keyring")),
    ],
)
def test_text_and_classes_say_how_it_stands(bar: BarState, text: str, classes: tuple[str, ...]) -> None:
    assert (bar.text, bar.classes) == (text, classes)


def test_the_tooltip_tells_rooms_and_troubles() -> None:
    assert LOUD.tooltip == "5 unread, 1 highlight\nLunch: 2\nWork: 3 (1 highlight)"
    assert OFFLINE.tooltip == f"2 unread\nLunch: 2\n{ME}: offline"
    assert QUIET.tooltip == "2 unread\nLunch: 2\nPaused until 08:00"
    assert STOPPED.tooltip == "Nothing unread\nHeliograph is not running"
    assert make_bar(make_room("\n", highlights=2)).tooltip == "2 unread, 2 highlights\n(no name): 2 (2 highlights)"


def test_a_tooltip_stays_small() -> None:
    bar = make_bar(*(make_room("x" * 500, 1) for _ in range(50)))
    lines = bar.tooltip.split("\n")
    assert len(lines) == ROOM_LINES + 2
    assert lines[-1] == "and more"
    assert max(map(len, lines)) < NAME_LIMIT + 10


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("bar", [STOPPED, NOTHING, LOUD, make_bar(make_room(EVIL, 2, 1))])
def test_every_format_is_one_line(name: str, bar: BarState) -> None:
    line = read_format(name)(bar)
    assert "\n" not in line
    assert "\u202e" not in line
    if name != "polybar":
        assert isinstance(json.loads(line), dict)


def test_waybar_gets_escaped_markup_and_line_breaks() -> None:
    told = json.loads(read_format("waybar")(make_bar(make_room(EVIL, 2, 1))))
    assert told["text"] == "2"
    assert told["alt"] == "highlight"
    assert told["class"] == ["highlight", "unread"]
    assert told["tooltip"] == (
        "2 unread, 1 highlight\n&lt;b&gt;&amp;&quot;x&quot;&#39;&lt;/b&gt; %{A1:rm:}{unread}: 2 (1 highlight)"
    )


def test_waybar_hides_a_module_without_text() -> None:
    assert json.loads(read_format("waybar")(NOTHING))["text"] == ""


def test_polybar_gets_numbers_only() -> None:
    render = read_format("polybar")
    assert [render(bar) for bar in (NOTHING, SOME, LOUD, OFFLINE)] == ["", "2", "5 @1", "!2"]


def test_i3blocks_is_urgent_for_highlights() -> None:
    render = read_format("i3blocks")
    assert json.loads(render(LOUD)) == {"full_text": "5 @1", "short_text": "5", "urgent": "true"}
    assert json.loads(render(NOTHING)) == {"full_text": "", "short_text": "", "urgent": "false"}


@pytest.mark.parametrize(
    ("bar", "state"), [(NOTHING, "Idle"), (SOME, "Info"), (LOUD, "Warning"), (OFFLINE, "Critical")]
)
def test_i3status_rs_gets_one_of_its_states(bar: BarState, state: str) -> None:
    assert json.loads(read_format("i3status-rs")(bar))["state"] == state


def test_eww_gets_flat_values() -> None:
    told = json.loads(read_format("eww")(LOUD))
    assert (told["unread"], told["highlights"], told["class"]) == (5, 1, "highlight unread")
    assert all(isinstance(value, str | int) for value in told.values())


def test_scripts_get_everything() -> None:
    assert json.loads(read_format("json")(OFFLINE)) == {
        "unread": 2,
        "highlights": 0,
        "state": "offline",
        "quiet": "",
        "class": ["offline", "unread"],
        "rooms": [{"account": ME, "room_id": ROOM, "title": "Lunch", "unread": 2, "highlights": 0}],
        "accounts": [{"user_id": ME, "state": "offline"}, {"user_id": ALICE, "state": "connected"}],
    }


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{unread}/{highlights} in {rooms}", "5/1 in 2"),
        ("{text} {state} {class} {quiet}.", "5 connected highlight ."),
        ("{{{unread}}}", "{5}"),
        ("{tooltip}", "5 unread, 1 highlight; Lunch: 2; Work: 3 (1 highlight)"),
        ("{tooltip:pango}", "5 unread, 1 highlight&#10;Lunch: 2&#10;Work: 3 (1 highlight)"),
        ("{tooltip:json}", '"5 unread, 1 highlight\\nLunch: 2\\nWork: 3 (1 highlight)"'),
    ],
)
def test_a_template_is_filled_in(template: str, line: str) -> None:
    assert read_format(template)(LOUD) == line


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("wayland", "neither a format nor a template"),
        ("{nonsense}", "there is no field {nonsense}; there are text"),
        ("{unread.__class__}", "there is no field"),
        ("{unread", "stands alone"),
        ("unread} {", "stands alone"),
        ("{unread:>5}", "can end in :pango or :json"),
        ("{unread}\n", "one line"),
    ],
)
def test_a_template_that_is_none_is_explained(template: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        read_format(template)


def test_what_a_room_is_called_is_not_taken_for_a_template() -> None:
    assert "{unread}" in read_format("{tooltip}")(make_bar(make_room("{unread}")))


def test_pango_takes_escaped_text_as_it_is() -> None:
    assert escape_pango("<&>\"'\n") == "&lt;&amp;&gt;&quot;&#39;&#10;"


def test_a_rooms_name_is_no_command_of_polybars() -> None:
    room = RoomCount(ME, "!a", "%{A1:touch /tmp/x:}click%{A}", 1, 0)
    line = read_format("{tooltip}")(BarState(Summary(unread=1, rooms=(room,))))
    assert "%{" not in line
    assert line.replace("\u200b", "") == "1 unread; %{A1:touch /tmp/x:}click%{A}: 1"
