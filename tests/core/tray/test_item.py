"""What the item in the tray shows."""

from __future__ import annotations

import pytest

from heliograph.core.popups.privacy import Level, Privacy
from heliograph.core.summary.summary import UNTIL_RESUMED, RoomCount, Summary
from heliograph.core.tray.item import Icon, Status, make_item
from heliograph.core.tray.situation import HIDDEN_ROOM, TraySituation
from support.builders import ALICE, BOB, ME, ROOM

WELL = (("@me:example.org", "connected"),)


def situation(unread: int = 0, highlights: int = 0, *, title: str = "Lunch", **more: object) -> TraySituation:
    rooms = (RoomCount(ME, ROOM, title, unread, highlights, ALICE),) if unread else ()
    given = {"quiet", "is_locked", "privacy"} & more.keys()
    summary = {"state": "connected", "accounts": WELL, **{key: more[key] for key in more.keys() - given}}
    return TraySituation(
        Summary(unread=unread, highlights=highlights, rooms=rooms, **summary),  # type: ignore[arg-type]
        **{key: more[key] for key in given},  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (situation(), Status.PASSIVE),
        (situation(3), Status.ACTIVE),
        (situation(3, 1), Status.NEEDS_ATTENTION),
        (situation(state="offline"), Status.ACTIVE),
        (situation(state="connecting"), Status.PASSIVE),
        (situation(paused_until_ms=UNTIL_RESUMED, quiet="paused until resumed"), Status.ACTIVE),
        (situation(quiet="quiet hours until 08:00"), Status.PASSIVE),
    ],
)
def test_it_hides_when_there_is_nothing_to_tell_and_asks_for_attention_at_highlights(
    shown: TraySituation, status: Status
) -> None:
    assert make_item(shown).status is status


@pytest.mark.parametrize(
    ("shown", "icon"),
    [
        (situation(), Icon()),
        (situation(3), Icon("3")),
        (situation(99), Icon("99")),
        (situation(100, 2), Icon("99+", is_urgent=True)),
        (situation(state="offline"), Icon("!")),
        (situation(2, state="offline"), Icon("2")),
        (situation(quiet="do not disturb"), Icon(is_dim=True)),
    ],
)
def test_the_badge_counts_what_is_unread_or_tells_trouble(shown: TraySituation, icon: Icon) -> None:
    assert make_item(shown).icon == icon


def test_the_tooltip_names_rooms_trouble_and_quiet() -> None:
    shown = situation(3, 1, accounts=((ME, "offline"),), state="offline", quiet="paused until 08:00")
    item = make_item(shown)
    assert item.tooltip == (
        "3 unread, 1 highlight\nLunch: 3 (1 highlight)\n@me:example.org: offline\nPaused until 08:00"
    )
    assert item.description == "Heliograph: 3 unread, 1 highlight"


def test_a_strangers_name_has_no_markup() -> None:
    tooltip = make_item(situation(1, title="<img src='file:///etc/passwd'>& \u202eLunch\n")).tooltip
    assert tooltip == "1 unread\n‹img src='file:///etc/passwd'›＆ Lunch: 1"


# Privacy


def test_a_room_that_the_configuration_hides_is_counted_without_its_name() -> None:
    for named in (ROOM, ALICE, "Lunch"):
        hidden = Privacy(rooms={Level.HIDDEN: frozenset({named})})
        assert make_item(situation(1, privacy=hidden)).tooltip == f"1 unread\n{HIDDEN_ROOM}: 1"
    other = Privacy(rooms={Level.HIDDEN: frozenset({BOB})})
    assert make_item(situation(1, privacy=other)).tooltip == "1 unread\nLunch: 1"


@pytest.mark.parametrize(
    ("locked", "name"), [(Level.FULL, "Lunch"), (Level.SENDER, "Lunch"), (Level.HIDDEN, HIDDEN_ROOM)]
)
def test_a_locked_screen_names_rooms_only_if_its_privacy_does(locked: Level, name: str) -> None:
    privacy = Privacy(locked=locked)
    assert make_item(situation(1, privacy=privacy, is_locked=True)).tooltip == f"1 unread\n{name}: 1"
    assert make_item(situation(1, privacy=privacy)).tooltip == "1 unread\nLunch: 1"
