"""What the menu of the tray item holds."""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.popups.privacy import Level, Privacy
from heliograph.core.summary.summary import UNTIL_RESUMED, RoomCount, Summary
from heliograph.core.tray.menu import (
    LABEL_LIMIT,
    MOST_ACCOUNTS,
    MOST_ROOMS,
    Command,
    CommandKind,
    MenuEntry,
    activation,
    make_menu,
    secondary_activation,
)
from heliograph.core.tray.situation import HIDDEN_ROOM, TraySituation
from support.builders import ALICE, BOB, ME, ROOM

NEWS = Summary(
    state="connected",
    accounts=((ME, "connected"),),
    unread=4,
    highlights=1,
    rooms=(RoomCount(ME, ROOM, "Lunch", 3, 1, ALICE), RoomCount(ME, "!b:x", "Bob", 1, 0, BOB)),
)


def seen(summary: Summary, **more: object) -> list[str]:
    """The visible lines, from top to bottom; "-" is a separator."""
    entries = make_menu(TraySituation(summary, **more))  # type: ignore[arg-type]
    return ["-" if entry.is_separator else entry.label for entry in entries if entry.is_visible]


def entry(summary: Summary, label: str) -> MenuEntry:
    return next(each for each in make_menu(TraySituation(summary)) if each.label == label)


def test_it_names_the_rooms_with_news_and_what_can_be_done() -> None:
    assert seen(NEWS) == [
        "4 unread, 1 highlight",
        "Lunch: 3 (1 highlight)",
        "Bob: 1",
        "-",
        "Mark all as read",
        "-",
        "Pause for 1 h",
        "Pause until 08:00",
        "-",
        "Settings file",
        "Quit Heliograph",
    ]


def test_each_entry_does_what_it_says() -> None:
    assert entry(NEWS, "Bob: 1").command == Command(CommandKind.OPEN, ME, "!b:x")
    assert entry(NEWS, "Mark all as read").command == Command(CommandKind.MARK_ALL_READ)
    assert entry(NEWS, "Pause for 1 h").command == Command(CommandKind.PAUSE, words="1h")
    assert entry(NEWS, "Pause until 08:00").command == Command(CommandKind.PAUSE, words="until 08:00")
    assert entry(NEWS, "Resume").command == Command(CommandKind.RESUME)
    assert entry(NEWS, "Settings file").command == Command(CommandKind.SETTINGS)
    assert entry(NEWS, "Quit Heliograph").command == Command(CommandKind.QUIT)
    assert entry(NEWS, "4 unread, 1 highlight").command is None


def test_a_click_on_the_icon_opens_the_newest_highlight_or_else_the_newest_message_or_else_the_client() -> None:
    def opened(*rooms: RoomCount) -> Command:
        return activation(TraySituation(replace(NEWS, rooms=rooms)))

    lunch, bob = NEWS.rooms
    assert opened(bob, lunch) == Command(CommandKind.OPEN, ME, ROOM)
    assert opened(bob) == Command(CommandKind.OPEN, ME, "!b:x")
    assert opened() == Command(CommandKind.OPEN_CLIENT)


def test_the_middle_button_pauses_and_resumes() -> None:
    assert secondary_activation(TraySituation(NEWS)) == Command(CommandKind.PAUSE)
    paused = replace(NEWS, paused_until_ms=UNTIL_RESUMED)
    assert secondary_activation(TraySituation(paused)) == Command(CommandKind.RESUME)


def test_with_nothing_unread_there_is_nothing_to_mark_as_read() -> None:
    assert entry(Summary(state="connected"), "Nothing unread").command is None
    assert entry(Summary(state="connected"), "Mark all as read").command is None


def test_why_it_is_quiet_is_told_and_a_pause_can_be_ended() -> None:
    paused = replace(NEWS, paused_until_ms=UNTIL_RESUMED, quiet_why="paused")
    lines = seen(paused, quiet="paused until resumed")
    assert lines[lines.index("-", 4) + 1 :][:4] == [
        "Paused until resumed",
        "Pause for 1 h",
        "Pause until 08:00",
        "Resume",
    ]
    assert "Resume" not in seen(NEWS, quiet="quiet hours until 08:00")


def test_why_accounts_are_offline_is_told() -> None:
    accounts = ((ME, "offline"), (ALICE, "connected"), (BOB, "signed out"))
    summary = replace(NEWS, state="signed out", accounts=accounts, troubles=((ME, "there is no network"),))
    lines = seen(summary)
    assert lines[-5:-2] == ["@me:example.org: offline, there is no network", "@bob:example.org: signed out", "-"]


def test_rooms_of_several_accounts_say_whose_they_are() -> None:
    summary = replace(NEWS, accounts=((ME, "connected"), (ALICE, "connected")))
    assert seen(summary)[1] == "Lunch: 3 (1 highlight) · @me:example.org"


def test_a_hidden_room_can_be_opened_and_is_not_named() -> None:
    hidden = Privacy(rooms={Level.HIDDEN: frozenset({ROOM})})
    assert seen(NEWS, privacy=hidden)[1:3] == [f"{HIDDEN_ROOM}: 3 (1 highlight)", "Bob: 1"]
    assert seen(NEWS, privacy=Privacy(locked=Level.HIDDEN), is_locked=True)[1:3] == [
        f"{HIDDEN_ROOM}: 3 (1 highlight)",
        f"{HIDDEN_ROOM}: 1",
    ]


def test_the_menu_is_bounded_whatever_strangers_call_their_rooms() -> None:
    name = "\u202e_<b>" + "x" * 100_000 + "\n" * 50
    rooms = tuple(RoomCount(f"@{'m' * 250}:x", f"!{number}", name, 10**9, 10**9) for number in range(50))
    accounts = tuple((f"@{number}{'a' * 250}:x", "offline") for number in range(30))
    troubles = tuple((user_id, "\n".join(["why"] * 999)) for user_id, _ in accounts)
    menu = make_menu(TraySituation(Summary("offline", accounts, troubles, 50 * 10**9, 50 * 10**9, rooms), "y" * 9999))
    assert max(len(each.label) for each in menu) <= LABEL_LIMIT
    assert not any(set(each.label) & {"\u202e", "\n"} for each in menu)
    assert sum(each.command is not None and each.command.kind is CommandKind.OPEN for each in menu) == MOST_ROOMS
    assert sum(each.key.startswith("account ") for each in menu) == MOST_ACCOUNTS
    assert next(each for each in menu if each.key == "more").is_visible
