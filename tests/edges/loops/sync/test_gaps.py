"""Gaps: filled from a list of notifications or from /messages, held back a few times, and then let go visibly."""

from __future__ import annotations

import pytest

from edges.loops.stage import WallClock, running
from edges.loops.sync.absence import MANY, NO_LIST, YEAR, Absence, GappyHomeserver, all_ring, missed_and_known
from fakes.ledger import FakeLedger
from heliograph.core.ids import RoomId
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.record import AccountState
from heliograph.errors import BadAnswer, RateLimited, Refused, Unreachable
from heliograph.loops.sync.notification_list import NotificationList
from heliograph.loops.sync.polling import TIMELINE_LIMIT
from heliograph.ports.homeserver import MessagesPage, NotificationsPage
from support.builders import ME
from support.waiting import until

MATCH = {"kind": "event_match", "key": "room_id"}
LOOK = "Look into your Matrix client."


@pytest.fixture
def homeserver() -> GappyHomeserver:
    return GappyHomeserver()


@pytest.fixture
def absence(clock: WallClock, homeserver: GappyHomeserver) -> Absence:
    return Absence(clock, homeserver)


async def test_the_list_of_notifications_tells_all_of_a_plain_room_with_nothing_open_in_whose_gap_nothing_rang(
    absence: Absence, homeserver: GappyHomeserver
) -> None:
    room = await absence.before(is_read=True)
    for number in range(MANY):
        await absence.stage.me.send_text(room, f"own {number}")
    await absence.stage.alice.send_text(room, f"number {MANY - 1}")
    again = absence.back()
    await all_ring(again)
    assert again.rung == [f"number {MANY - 1}"]
    assert (homeserver.lists, homeserver.pages) == (1, 0)


async def test_what_was_answered_or_deleted_in_the_gap_in_which_it_rang_stays_silent(
    absence: Absence, homeserver: GappyHomeserver
) -> None:
    room = await absence.before(is_read=True)
    await absence.stage.alice.send_text(room, "a question")
    await absence.stage.me.send_text(room, "an answer from the phone")
    deleted = await absence.stage.alice.send_text(room, "a mistake")
    await absence.stage.alice.redact(room, deleted)
    await absence.miss(room)
    again = absence.back()
    await all_ring(again)
    assert again.rung == missed_and_known()[1:]
    assert homeserver.pages > 0


async def test_without_such_a_list_it_is_filled_from_the_rooms_messages(
    absence: Absence, homeserver: GappyHomeserver
) -> None:
    room = await absence.before()
    homeserver.list_failure = NO_LIST
    await absence.miss(room)
    again = absence.back()
    await all_ring(again)
    assert again.rung == missed_and_known()
    assert homeserver.pages > 0


async def test_a_list_that_does_not_reach_back_to_anything_known_is_not_relied_on(
    absence: Absence, homeserver: GappyHomeserver
) -> None:
    room = await absence.before(is_known=False)
    await absence.miss(room)
    again = absence.back()
    await all_ring(again)
    assert again.rung == missed_and_known()[1:]
    assert homeserver.pages > 0


@pytest.mark.parametrize("years", [-10, 10])
@pytest.mark.parametrize("is_known", [True, False])
async def test_a_clock_that_was_wrong_loses_nothing(
    absence: Absence, clock: WallClock, years: int, is_known: bool
) -> None:
    clock.jump(years * YEAR)
    room = await absence.before(is_known=is_known)
    await absence.miss(room)
    again = absence.back()
    await all_ring(again)
    assert again.rung == missed_and_known()[0 if is_known else 1 :]


async def test_what_was_read_elsewhere_in_the_gap_is_silent(absence: Absence) -> None:
    room = await absence.before()
    await absence.miss(room)
    last = list(absence.homeserver.rooms[room].events)[-1][1].event_id
    await absence.stage.me.read(room, last)
    await absence.stage.alice.send_text(room, "afterwards")
    again = absence.back()
    async with running(again.loop):
        await again.rings("afterwards")
    assert [text for text in again.rung if text.startswith("number")] == []


async def test_a_gap_in_a_room_just_joined_is_none(absence: Absence, homeserver: GappyHomeserver) -> None:
    await absence.before()
    crowd = await absence.stage.alice.create_room("Crowd", invite=[absence.stage.me])
    await absence.miss(crowd)
    again = absence.back()
    async with running(again.loop):
        await again.connected()
        await again.me.join(crowd)
        await again.hears(crowd, "welcome")
    assert [text for text in again.rung if text.startswith("number")] == []


@pytest.mark.expected_log("@me:example.org: down$")
async def test_a_sync_is_held_back_until_its_gap_is_filled(absence: Absence, homeserver: GappyHomeserver) -> None:
    room = await absence.before()
    homeserver.list_failure, homeserver.list_failures_left = Unreachable("down"), 2
    token = absence.stage.ledger.state.next_batch
    await absence.miss(room)
    again = absence.back()
    tokens: list[str | None] = []
    homeserver.on_list = lambda: tokens.append(again.ledger.state.next_batch)
    await all_ring(again)
    assert again.rung == missed_and_known()
    assert tokens == [token] * 3
    assert again.troubles == []


@pytest.mark.expected_log("@me:example.org: (broken|busy)$")
@pytest.mark.parametrize("failure", [BadAnswer(500, "broken"), RateLimited("busy", 1)])
async def test_a_list_that_keeps_failing_gives_way_to_the_rooms_messages(
    absence: Absence, homeserver: GappyHomeserver, failure: Exception
) -> None:
    room = await absence.before()
    homeserver.list_failure = failure
    await absence.miss(room)
    again = absence.back()
    await all_ring(again)
    assert again.rung == missed_and_known()
    assert again.troubles == []


@pytest.mark.expected_log("@me:example.org: down$")
@pytest.mark.expected_log("There may be more in !room1:example.org, which could not be fetched: down$")
async def test_a_gap_that_cannot_be_filled_is_let_go_visibly(absence: Absence, homeserver: GappyHomeserver) -> None:
    room = await absence.before()
    homeserver.list_failure = homeserver.messages_failure = Unreachable("down")
    await absence.miss(room)
    again = absence.back()
    await all_ring(again)
    assert again.rung == ["known", *missed_and_known()[-TIMELINE_LIMIT:]]
    assert again.troubles == [
        ("There may be more in Lunch", f"Some of what came there meanwhile may be missing here: down. {LOOK}")
    ]


@pytest.mark.expected_log("There may be more in !room1:example.org, which could not be fetched: no$")
async def test_a_room_whose_messages_are_refused_rings_with_what_there_is(
    absence: Absence, homeserver: GappyHomeserver
) -> None:
    room = await absence.before()
    homeserver.list_failure, homeserver.messages_failure = NO_LIST, Refused(403, "M_FORBIDDEN", "no")
    await absence.miss(room)
    again = absence.back()
    await all_ring(again)
    assert again.rung == ["known", *missed_and_known()[-TIMELINE_LIMIT:]]


@pytest.mark.parametrize(("refusal", "lists"), [(NO_LIST, 1), (Refused(400, "M_INVALID_PARAM", "no"), 2)])
async def test_a_list_is_asked_for_again_unless_there_is_none(
    homeserver: GappyHomeserver, refusal: Refused, lists: int
) -> None:
    notifications = NotificationList(homeserver, FakeLedger(), lambda: None)
    homeserver.list_failure = refusal
    for _ in range(2):
        assert await notifications.missed(AccountState()) is None
    assert homeserver.lists == lists


class CirclingHomeserver(GappyHomeserver):
    """Each page leads to itself."""

    async def notifications(self, *, since: str | None, limit: int) -> NotificationsPage:
        page = await super().notifications(since=None, limit=10)
        return NotificationsPage(page.notifications, "again")

    async def messages(
        self,
        room_id: RoomId,
        *,
        since: str,
        until: str | None,
        limit: int,
        event_types: frozenset[str] | None = None,
    ) -> MessagesPage:
        page = await super().messages(room_id, since=f"s{self._now}", until=None, limit=10)
        return MessagesPage(page.events, since)


async def test_pages_that_lead_nowhere_are_left_soon(clock: WallClock) -> None:
    homeserver = CirclingHomeserver()
    absence = Absence(clock, homeserver)
    room = await absence.before(is_known=False)
    await absence.miss(room)
    again = absence.back()
    await all_ring(again)
    assert homeserver.lists <= 2
    assert homeserver.pages <= 1


async def test_nobody_is_asked_about_rooms_without_a_gap(absence: Absence, homeserver: GappyHomeserver) -> None:
    room = await absence.before()
    again = absence.back()
    async with running(again.loop):
        await again.connected()
        await absence.miss(room, 5)
        await again.rings("number 4")
        await until(lambda: homeserver.requests[-1].timeout_ms)
    assert (homeserver.lists, homeserver.pages) == (0, 0)


async def test_what_came_before_its_room_was_muted_rings_by_the_list(
    absence: Absence, homeserver: GappyHomeserver
) -> None:
    room = await absence.before(is_read=True)
    await absence.stage.alice.send_text(room, "before the mute")
    again = absence.back()
    muted = {"rule_id": room, "enabled": True, "actions": [], "conditions": [MATCH | {"pattern": room}]}
    homeserver.add_account_data("m.push_rules", {"global": {**predefined_rules(ME), "override": [muted]}})
    async with running(again.loop):
        await again.rings("before the mute")
    assert homeserver.lists == 1
