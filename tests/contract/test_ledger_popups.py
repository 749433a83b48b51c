"""What a ledger knows of popups: what is due, what they show, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contract.ledgers import OTHER_ROOM, count, find, make_plan, make_popup, show
from heliograph.core.delivery import Move, State
from heliograph.core.ids import EventId
from heliograph.core.notification import Category, Popup
from heliograph.core.popups.quiet import Through
from heliograph.core.popups.text import LINES
from heliograph.core.record import (
    Edit,
    Plan,
    PopupRecord,
    Rewrite,
    RoomRecord,
    Withdrawal,
)
from heliograph.ports.ledger import Ledger, Settlement
from support.builders import ALICE, BOB, ROOM, make_content, make_delivery, make_facts

# What is due


async def test_a_pending_delivery_is_due_from_its_time_on(ledger: Ledger) -> None:
    await ledger.commit(make_plan(deliveries=(make_delivery("$later", due_ms=100), make_delivery("$now"))), 1)

    assert [each.event_id for each in (await ledger.agenda(99)).deliveries] == ["$now"]
    assert [each.event_id for each in (await ledger.agenda(100)).deliveries] == ["$later", "$now"]


async def test_the_next_due_time_is_that_of_the_first_pending_delivery(ledger: Ledger) -> None:
    assert (await ledger.agenda(0)).next_ms is None
    await ledger.commit(make_plan(deliveries=(make_delivery("$a", due_ms=300), make_delivery("$b", due_ms=200))), 1)
    assert (await ledger.agenda(0)).next_ms == 200
    await show(ledger, "$b")
    assert (await ledger.agenda(0)).next_ms == 300


async def test_what_a_rooms_popup_shows_already_comes_with_what_is_due_in_it(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.commit(make_plan("$other", room_id=OTHER_ROOM), 1)
    await show(ledger, "$a")
    await show(ledger, "$other", popup=make_popup(OTHER_ROOM))
    await ledger.commit(make_plan("$b"), 2)

    due = (await ledger.agenda(10)).deliveries

    assert [(each.event_id, each.state, each.popup_key) for each in due] == [
        ("$a", State.SHOWN, ROOM),
        ("$b", State.PENDING, None),
    ]


async def test_only_what_a_rooms_popup_quotes_comes_and_the_rest_is_counted(ledger: Ledger) -> None:
    shown = [f"${number}" for number in range(LINES + 3)]
    await ledger.commit(make_plan(*shown), 1)
    await show(ledger, *shown)
    await ledger.commit(make_plan("$new"), 2)

    assert [each.event_id for each in (await ledger.agenda(10)).deliveries] == [*shown[-LINES:], "$new"]
    assert [record.size for record in await ledger.popups()] == [LINES + 3]


async def test_all_that_a_stale_summary_shows_comes(ledger: Ledger) -> None:
    shown = [f"${number}" for number in range(LINES + 3)]
    await ledger.commit(make_plan(*shown), 1)
    await show(ledger, *shown, popup=make_popup("summary:$0"))
    await ledger.commit(Plan("s9", changes=(Withdrawal(EventId("$0"), "read"),)), 2)

    assert [each.event_id for each in (await ledger.agenda(10)).deliveries] == shown[1:]
    assert [record.size for record in await ledger.popups()] == [LINES + 2]


async def test_a_change_to_what_a_popup_does_not_quote_while_it_is_replaced_leaves_it_stale(ledger: Ledger) -> None:
    shown = [f"${number}" for number in range(LINES + 3)]
    await ledger.commit(make_plan(*shown), 1)
    await show(ledger, *shown)
    await ledger.commit(make_plan("$new"), 2)
    await ledger.agenda(10)
    await ledger.commit(Plan("s9", changes=(Withdrawal(EventId("$0"), "read"),)), 3)

    await ledger.settle([Settlement(EventId("$new"), Move.SHOWN)], shown=make_popup())

    assert [record.is_stale for record in await ledger.popups()] == [True]


async def test_what_a_summary_shows_does_not_come_with_one_of_its_rooms(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a", popup=make_popup("summary:$a"))
    await ledger.commit(make_plan("$b"), 2)

    assert [each.event_id for each in (await ledger.agenda(10)).deliveries] == ["$b"]


@pytest.mark.parametrize(
    ("through", "due"),
    [
        (None, ["$plain", "$loud", "$family", "$boss"]),
        (Through(highlights=False), []),
        (Through(), ["$loud"]),
        (Through(highlights=False, ids=frozenset({OTHER_ROOM})), ["$family"]),
        # A name grants nothing: anyone may give it to a room.
        (Through(highlights=False, ids=frozenset({"Family"})), []),
        (Through(ids=frozenset({BOB})), ["$loud", "$boss"]),
    ],
)
async def test_in_quiet_only_what_passes_is_due(ledger: Ledger, through: Through | None, due: list[str]) -> None:
    deliveries = (
        make_delivery("$plain"),
        make_delivery("$loud", content=make_content(is_highlight=True)),
        make_delivery("$family", room_id=OTHER_ROOM, content=make_content(room_title="Family")),
        make_delivery("$boss", sender=BOB),
    )
    await ledger.commit(Plan("s2", deliveries=deliveries), 1)
    assert [each.event_id for each in (await ledger.agenda(5, through=through)).deliveries] == due


async def test_what_is_held_back_in_quiet_is_no_next_thing_to_do(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.settle([Settlement(EventId("$a"), Move.FAILED, due_ms=50)])
    assert (await ledger.agenda(9)).next_ms == 50
    assert (await ledger.agenda(9, through=Through())).next_ms is None


async def test_what_is_not_due_touches_no_popup(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")
    await ledger.commit(make_plan(deliveries=(make_delivery("$b", due_ms=100),)), 2)

    assert (await ledger.agenda(99)).deliveries == ()


# Settling


async def test_a_shown_delivery_is_in_its_popup(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)

    await show(ledger, "$a")

    assert await ledger.popups() == [make_popup()]
    found = await find(ledger, "$a")
    assert found is not None
    assert (found.state, found.popup_key, found.content) == (State.SHOWN, ROOM, make_content())


async def test_a_popup_shown_again_keeps_what_it_shows(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b"), 1)
    await show(ledger, "$a")

    await ledger.settle([Settlement(EventId("$b"), Move.SHOWN)], shown=make_popup(digest="d2"))

    assert await ledger.popups() == [make_popup(digest="d2")]
    assert {each.popup_key for each in await ledger.open_deliveries([ROOM])} == {ROOM}


async def test_a_replaced_delivery_moves_to_the_popup_that_shows_it_now(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a", popup=make_popup("summary:$a"))

    await ledger.settle([Settlement(EventId("$a"), Move.REPLACED)], shown=make_popup(), closed="summary:$a")

    assert await ledger.popups() == [make_popup()]
    found = await find(ledger, "$a")
    assert found is not None
    assert found.popup_key == ROOM


async def test_a_failed_delivery_waits_and_counts_its_attempts(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)

    await ledger.settle([Settlement(EventId("$a"), Move.FAILED, due_ms=50, why="no server")])
    await ledger.settle([Settlement(EventId("$a"), Move.FAILED, due_ms=90, why="still none")])

    assert (await ledger.agenda(89)).deliveries == ()
    (delivery,) = (await ledger.agenda(90)).deliveries
    assert (delivery.state, delivery.attempts, delivery.due_ms, delivery.why) == (State.PENDING, 2, 90, "still none")


@pytest.mark.parametrize(
    ("move", "state"),
    [
        (Move.OPENED, State.OPENED),
        (Move.WITHDRAWN, State.WITHDRAWN),
    ],
)
async def test_a_shown_delivery_ends(ledger: Ledger, move: Move, state: State) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")

    await ledger.settle([Settlement(EventId("$a"), move)], closed=ROOM)

    assert await count(ledger, state) == 1
    assert await ledger.open_deliveries([ROOM]) == []
    assert await ledger.popups() == []


@pytest.mark.parametrize(("move", "state"), [(Move.DISMISSED, State.DISMISSED), (Move.GAVE_UP, State.LOST)])
async def test_what_is_not_on_screen_any_more_stays_unread_until_it_is_opened(
    ledger: Ledger, move: Move, state: State
) -> None:
    await ledger.commit(make_plan("$a"), 1)
    if move is Move.DISMISSED:
        await show(ledger, "$a")

    await ledger.settle([Settlement(EventId("$a"), move, why="why")], closed=ROOM)

    found = await find(ledger, "$a")
    assert found is not None
    assert (found.state, found.content, found.popup_key, found.why) == (state, make_content(), None, "why")
    assert (await ledger.agenda(9)).deliveries == ()
    assert [room.unread for room in await ledger.unread()] == [1]

    await ledger.settle([Settlement(EventId("$a"), Move.OPENED)])

    assert await find(ledger, "$a") is None
    assert await ledger.unread() == ()


async def test_moves_that_no_longer_fit_are_passed_over(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b"), 1)
    await ledger.settle([Settlement(EventId("$a"), Move.GAVE_UP, why="refused")])

    await ledger.settle(
        [
            Settlement(EventId("$a"), Move.SHOWN),
            Settlement(EventId("$b"), Move.DISMISSED),
            Settlement(EventId("$unknown"), Move.SHOWN),
            Settlement(EventId("$b"), Move.FAILED, due_ms=5),
        ]
    )

    assert await ledger.counts() == {state.value: 0 for state in State} | {"pending": 1, "lost": 1}
    assert (await ledger.agenda(0)).next_ms == 5


async def test_what_a_closed_popup_still_showed_is_shown_by_none(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a", "$b"), 1)
    await show(ledger, "$a", "$b")

    await ledger.settle([Settlement(EventId("$a"), Move.DISMISSED)], closed=ROOM)

    found = await find(ledger, "$b")
    assert found is not None
    assert (found.state, found.popup_key) == (State.SHOWN, None)
    assert await ledger.popups() == []


async def test_a_popup_tells_what_it_shows_by_position(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$b", "$a", "$gone", "$pending"), 1)
    await ledger.commit(make_plan("$other", room_id=OTHER_ROOM), 1)
    await show(ledger, "$a", "$gone", "$b")
    await show(ledger, "$other", popup=make_popup(OTHER_ROOM))
    await ledger.settle([Settlement(EventId("$gone"), Move.WITHDRAWN)])

    assert [each.event_id for each in await ledger.shown_in(ROOM)] == ["$b", "$a"]
    assert await ledger.shown_in("unknown") == []


async def test_closing_an_unknown_popup_changes_nothing(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")

    await ledger.settle([], closed=OTHER_ROOM)

    assert await ledger.popups() == [make_popup()]


async def test_a_delivery_withdrawn_while_it_was_being_shown_leaves_a_stale_popup(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.agenda(10)
    await ledger.commit(Plan("s3", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)), 2)

    await show(ledger, "$a")

    assert await ledger.popups() == [make_popup(is_stale=True)]
    assert await count(ledger, State.CANCELLED) == 1


@pytest.mark.parametrize("move", [Move.SHOWN, Move.REPLACED])
async def test_a_delivery_edited_while_it_was_being_shown_leaves_a_stale_popup(ledger: Ledger, move: Move) -> None:
    await ledger.commit(make_plan("$a"), 1)
    if move is Move.REPLACED:
        await show(ledger, "$a")
    await ledger.agenda(10)
    await ledger.commit(Plan("s3", changes=(Edit(EventId("$a"), "corrected"),)), 2)

    await ledger.settle([Settlement(EventId("$a"), move)], shown=make_popup(digest="of the old text"))

    (delivery,) = (await ledger.agenda(10)).deliveries
    assert delivery.content == make_content("corrected")
    assert [popup.is_stale for popup in await ledger.popups()] == [True]


async def test_an_edit_that_was_seen_by_due_leaves_no_stale_popup(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.commit(Plan("s3", changes=(Edit(EventId("$a"), "corrected"),)), 2)
    await ledger.agenda(10)

    await show(ledger, "$a")

    assert await ledger.popups() == [make_popup()]


# A new life of the notification server


@pytest.mark.parametrize("server", [":1.99", None])
async def test_popups_of_another_server_are_forgotten_and_their_deliveries_stay_shown(
    ledger: Ledger, server: str | None
) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")

    await ledger.forget_popup_ids(server)

    assert await ledger.popups() == []
    found = await find(ledger, "$a")
    assert found is not None
    assert (found.state, found.popup_key, found.content) == (State.SHOWN, None, make_content())
    assert (await ledger.agenda(10)).deliveries == ()


@pytest.mark.parametrize("server", ["new", None])
async def test_popups_of_another_server_may_be_kept_to_be_shown_again(ledger: Ledger, server: str | None) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a", popup=make_popup(server="old"))

    await ledger.forget_popup_ids(server, is_shown_again=True)

    (record,) = await ledger.popups()
    assert (record.key, record.popup, record.is_stale, record.size) == (ROOM, Popup(server or "", 0), True, 1)
    agenda = await ledger.agenda(10)
    assert [each.event_id for each in agenda.deliveries] == ["$a"]

    await ledger.settle([Settlement(EventId("$a"), Move.REPLACED)], shown=make_popup(server="new"))
    await ledger.forget_popup_ids("new", is_shown_again=True)

    assert await ledger.popups() == [make_popup(server="new")]


async def test_popups_of_the_present_server_stay_known(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.commit(make_plan("$other", room_id=OTHER_ROOM), 1)
    await show(ledger, "$a", popup=make_popup(server="old"))
    await show(ledger, "$other", popup=make_popup(OTHER_ROOM, server="new"))

    await ledger.forget_popup_ids("new")

    assert await ledger.popups() == [make_popup(OTHER_ROOM, server="new")]


async def test_a_delivery_of_a_forgotten_popup_can_still_be_withdrawn(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await show(ledger, "$a")
    await ledger.settle([Settlement(EventId("$a"), Move.SERVER_RESTARTED)])
    await ledger.commit(Plan("s3", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)), 2)

    assert await count(ledger, State.WITHDRAWN) == 1


# Popups and what they show


async def test_a_popup_knows_some_of_those_who_wrote_what_it_shows(ledger: Ledger) -> None:
    deliveries = [
        make_delivery(f"${n}", content=make_content(sender_name=name)) for n, name in enumerate(["Bob", "Alice", "Bob"])
    ]
    await ledger.commit(make_plan(judged=(), deliveries=tuple(deliveries)), 1)
    await show(ledger, "$0", "$1")
    (popup,) = await ledger.popups()
    assert (popup.size, sorted(popup.senders)) == (2, ["Alice", "Bob"])


async def test_a_popup_names_no_more_than_ten(ledger: Ledger) -> None:
    deliveries = [make_delivery(f"${n}", content=make_content(sender_name=str(n))) for n in range(12)]
    await ledger.commit(make_plan(judged=(), deliveries=tuple(deliveries)), 1)
    await show(ledger, *(f"${n}" for n in range(12)))
    (popup,) = await ledger.popups()
    assert (popup.size, len(popup.senders)) == (12, 10)


async def test_pictures_of_members_are_kept_and_forgotten(ledger: Ledger) -> None:
    facts = make_facts(names={ALICE: "Alice", BOB: "Bob"}, avatars={ALICE: "mxc://x/a", BOB: "mxc://x/b"})
    await ledger.commit(Plan("s2", rooms=(RoomRecord(facts),)), 1)
    assert (await ledger.rooms([ROOM], [ALICE]))[ROOM].facts.avatars == {ALICE: "mxc://x/a"}

    gone = replace(facts, avatars={BOB: "mxc://x/b"})
    await ledger.commit(Plan("s3", rooms=(RoomRecord(gone),)), 2)
    assert (await ledger.rooms([ROOM], [ALICE, BOB]))[ROOM].facts.avatars == {BOB: "mxc://x/b"}


# Calls


async def test_calls_are_told_until_they_ring_no_more(ledger: Ledger) -> None:
    calls = [
        make_delivery(f"${ms}", content=make_content(category=Category.CALL, rings_until_ms=ms)) for ms in (2000, 1000)
    ]
    await ledger.commit(Plan("s2", deliveries=(*calls, make_delivery("$message"))), 1)
    ringing = (await ledger.agenda(1)).ringing
    assert [(each.event_id, each.content and each.content.rings_until_ms) for each in ringing] == [
        ("$1000", 1000),
        ("$2000", 2000),
    ]
    await ledger.change(
        [Rewrite(EventId("$1000"), make_content("Missed call")), Rewrite(EventId("$unknown"), make_content())]
    )
    await ledger.change([Withdrawal(EventId("$2000"), "answered")])
    agenda = await ledger.agenda(1)
    assert agenda.ringing == ()
    assert [each.content for each in agenda.deliveries] == [make_content("Missed call"), make_content()]


async def test_what_changes_between_syncs_makes_its_popup_stale(ledger: Ledger) -> None:
    await ledger.commit(make_plan("$a"), 1)
    await ledger.agenda(1)
    await ledger.settle([Settlement(EventId("$a"), Move.SHOWN)], shown=PopupRecord(ROOM, Popup("server", 1), "digest"))
    await ledger.change([Rewrite(EventId("$a"), make_content("Missed call"))])
    (record,) = (await ledger.agenda(1)).popups
    assert record.is_stale
