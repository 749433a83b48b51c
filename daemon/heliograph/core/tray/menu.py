"""Decides what the menu of the tray item holds. All of it is to be had without a tray as well: docs/tray.md has the
command for each entry."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

from heliograph.core.summary.bar import is_well, room_line
from heliograph.core.summary.summary import RoomCount, Summary
from heliograph.core.text.clean import clean_line
from heliograph.core.tray.situation import TraySituation
from heliograph.core.value_type import value_type

MOST_ROOMS = 10
MOST_ACCOUNTS = 5
"""The most accounts in trouble that the menu names."""
LABEL_LIMIT = 80
"""Characters: a menu is as wide as its longest label."""
_ACCOUNT_LIMIT = 40
MORNING = "08:00"


class CommandKind(Enum):
    """What an entry does."""

    OPEN = auto()
    OPEN_CLIENT = auto()
    """Open the Matrix client, wherever it was left."""
    MARK_ALL_READ = auto()
    PAUSE = auto()
    RESUME = auto()
    SETTINGS = auto()
    QUIT = auto()


@value_type
class Command:
    """What a click on an entry asks for."""

    kind: CommandKind
    account: str = ""
    room_id: str = ""
    words: str = ""
    """Until when to pause, as `heliograph pause` takes it; "": until resumed."""


@value_type
class MenuEntry:
    """A line of the menu. Entries of the same `key` are one entry, whose label may change."""

    key: str
    label: str = ""
    """Plain text of at most LABEL_LIMIT characters."""
    command: Command | None = None
    """None: the entry only tells something."""
    is_visible: bool = True
    is_separator: bool = False
    """The entry is a line between others."""


_READ = Command(CommandKind.MARK_ALL_READ)
_PAUSES = (
    MenuEntry("pause 1h", "Pause for 1 h", Command(CommandKind.PAUSE, words="1h")),
    MenuEntry("pause until morning", f"Pause until {MORNING}", Command(CommandKind.PAUSE, words=f"until {MORNING}")),
)
_LAST = (
    MenuEntry("settings", "Settings file", Command(CommandKind.SETTINGS)),
    MenuEntry("quit", "Quit Heliograph", Command(CommandKind.QUIT)),
)


def make_menu(situation: TraySituation) -> tuple[MenuEntry, ...]:
    """The entries from top to bottom. Those that do not depend on rooms and accounts are always there, and hidden if
    they make no sense, so that a menu seldom changes under the pointer."""
    return tuple(_entries(situation))


def activation(situation: TraySituation) -> Command:
    """What a click on the icon does: it opens the room with the newest highlight, or else with the newest message."""
    rooms = situation.summary.rooms
    if not rooms:
        return Command(CommandKind.OPEN_CLIENT)
    return _open(next((room for room in rooms if room.highlights), rooms[0]))


def secondary_activation(situation: TraySituation) -> Command:
    """What a click with the middle button does: it pauses until resumed, or resumes."""
    is_paused = situation.summary.paused_until_ms != 0
    return Command(CommandKind.RESUME if is_paused else CommandKind.PAUSE)


def _entries(situation: TraySituation) -> Iterator[MenuEntry]:
    bar, summary = situation.bar, situation.summary
    yield MenuEntry("total", bar.total)
    for room in bar.rooms[:MOST_ROOMS]:
        yield _room_entry(room, has_accounts=len(bar.accounts) > 1)
    yield MenuEntry("more", "And more: heliograph inbox", is_visible=len(bar.rooms) > MOST_ROOMS)
    yield MenuEntry("before read", is_separator=True)
    yield MenuEntry("read", "Mark all as read", _READ if bar.unread else None)
    yield MenuEntry("before quiet", is_separator=True)
    yield MenuEntry("quiet", _line(bar.quiet[:1].upper() + bar.quiet[1:]), is_visible=bool(bar.quiet))
    yield from _PAUSES
    yield MenuEntry("resume", "Resume", Command(CommandKind.RESUME), is_visible=summary.paused_until_ms != 0)
    troubles = [_trouble_entry(user_id, state, summary) for user_id, state in bar.accounts if not is_well(state)]
    yield MenuEntry("before troubles", is_visible=bool(troubles), is_separator=True)
    yield from troubles[:MOST_ACCOUNTS]
    yield MenuEntry("before settings", is_separator=True)
    yield from _LAST


def _room_entry(room: RoomCount, *, has_accounts: bool) -> MenuEntry:
    label = room_line(room)
    if has_accounts:
        label = f"{label} · {clean_line(room.account, _ACCOUNT_LIMIT)}"
    return MenuEntry(f"room {room.account} {room.room_id}", _line(label), _open(room))


def _open(room: RoomCount) -> Command:
    return Command(CommandKind.OPEN, room.account, room.room_id)


def _trouble_entry(user_id: str, state: str, summary: Summary) -> MenuEntry:
    why = next((why for account, why in summary.troubles if account == user_id), "")
    return MenuEntry(f"account {user_id}", _line(f"{clean_line(user_id, _ACCOUNT_LIMIT)}: {state}{why and f', {why}'}"))


def _line(label: str) -> str:
    return clean_line(label, LABEL_LIMIT)
