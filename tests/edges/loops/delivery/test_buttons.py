"""What the user does with a popup's buttons, over a desktop and a ledger in memory."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import DeliveryStage, FakeOpener, WallClock, running
from fakes.desktop import FakeDesktop
from heliograph.core.delivery import RetryLater, State
from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import Activated, Category, Closed, Closing, Popup, Replied, Urgency
from heliograph.core.popups.actions import ActionKind, ActionRequest
from heliograph.core.record import Delivery, Plan, Withdrawal
from heliograph.loops.delivery.signals import AFTERGLOW_MS
from support.builders import ALICE, ROOM, make_content, make_delivery
from support.waiting import until

OTHER_ROOM = RoomId("!other:example.org")


@pytest.fixture
def stage(clock: WallClock) -> DeliveryStage:
    return DeliveryStage(clock)


async def show(stage: DeliveryStage, event_id: str = "$a", **delivery: object) -> int:
    """A message on screen; the id of its popup."""
    await stage.commit(make_delivery(event_id, **delivery))  # type: ignore[arg-type]
    await until(lambda: stage.state(event_id) is State.SHOWN, f"{event_id} on screen")
    return stage.popup_ids[-1]


async def settled(stage: DeliveryStage, event_id: str, state: State) -> None:
    await until(lambda: stage.state(event_id) is state, f"{event_id} {state.value}")


async def test_a_typed_reply_is_requested_once_and_its_popup_goes(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await show(stage)
        popup = await show(stage, "$b")
        stage.desktop.type(popup, "on my way")
        await until(lambda: not stage.desktop.on_screen)
        assert stage.requests == [ActionRequest(ActionKind.REPLY, ROOM, "Lunch", EventId("$b"), "on my way")]
        # Not answered yet: that is known when the homeserver has taken it.
        assert (stage.state("$a"), stage.state("$b")) == (State.DISMISSED, State.DISMISSED)


async def test_what_is_typed_while_its_message_is_being_withdrawn_is_not_lost(stage: DeliveryStage) -> None:
    """As when a room is left, or read elsewhere, at the moment of the answer."""
    async with running(stage.loop):
        popup = await show(stage)
        # Committed, and the loop does not know yet: the popup still stands there with nothing left in it.
        await stage.ledger.commit(Plan("s99", changes=(Withdrawal(EventId("$a"), "left the room"),)), stage.clock())
        stage.desktop.type(popup, "on my way")
        await until(lambda: not stage.desktop.on_screen)
    assert [(request.kind, request.room_id, request.text) for request in stage.requests] == [
        (ActionKind.REPLY, ROOM, "on my way")
    ]


@pytest.mark.parametrize(
    ("label", "kind"), [("Mark as read", ActionKind.MARK_READ), ("Mute…", ActionKind.MUTE), ("Reply in Lunch", None)]
)
async def test_a_button_is_a_request_about_the_room_up_to_what_was_seen(
    stage: DeliveryStage, label: str, kind: ActionKind | None
) -> None:
    async with running(stage.loop):
        await show(stage)
        await show(stage, "$b")
        stage.desktop.press(label)
        await until(lambda: not stage.desktop.on_screen)
        await stage.loop.rest()
    assert stage.requests == ([] if kind is None else [ActionRequest(kind, ROOM, "Lunch", EventId("$b"))])
    assert stage.opener.opened == ([(ROOM, "$b", None)] if kind is None else [])


async def test_an_invite_is_accepted_by_its_button(stage: DeliveryStage) -> None:
    content = make_content("Wants to talk to you", category=Category.INVITE, is_direct=True)
    async with running(stage.loop):
        await show(stage, f"invite:{ROOM}:0", content=content)
        stage.desktop.press("Accept")
        await until(lambda: stage.requests)
    assert stage.requests == [ActionRequest(ActionKind.ACCEPT, ROOM, "Alice", None, direct_with=ALICE)]


async def test_one_button_of_a_summary_is_about_all_its_rooms(stage: DeliveryStage) -> None:
    rooms = [f"!room{number}:example.org" for number in range(6)]
    async with running(stage.loop):
        await stage.commit(*(make_delivery(f"$in{room}", room_id=room) for room in rooms))
        await settled(stage, f"$in{rooms[-1]}", State.SHOWN)
        stage.desktop.press("Mark all as read")
        await until(lambda: not stage.desktop.on_screen)
    assert {(request.kind, request.room_id, request.event_id) for request in stage.requests} == {
        (ActionKind.MARK_READ, room, f"$in{room}") for room in rooms
    }


async def test_what_was_read_up_to_a_message_leaves_later_ones(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await show(stage, "$a", text="one")
        await show(stage, "$b", text="two")
        await show(stage, "$other", room_id=OTHER_ROOM)
        stage.loop.note_read(ROOM, EventId("$a"))
        await settled(stage, "$a", State.OPENED)
        await until(lambda: stage.desktop.bodies[0] == "Alice: two")
        stage.loop.note_read(ROOM, EventId("$never-seen"))
        await stage.loop.rest()
    assert (stage.state("$b"), stage.state("$other")) == (State.SHOWN, State.SHOWN)


async def test_what_was_typed_counts_though_the_server_closed_the_popup_first(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        popup = await show(stage)
        stage.desktop.dismiss(popup)
        stage.desktop.type(popup, "still there?")
        await until(lambda: stage.requests)
    assert stage.requests == [ActionRequest(ActionKind.REPLY, ROOM, "Lunch", EventId("$a"), "still there?")]


async def test_what_was_typed_counts_though_it_was_read_elsewhere_meanwhile(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        popup = await show(stage)
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await until(lambda: not stage.desktop.on_screen)
        stage.desktop.type(popup, "too late?")
        await until(lambda: stage.requests)
    (request,) = stage.requests
    assert (request.kind, request.room_id, request.text) == (ActionKind.REPLY, ROOM, "too late?")


async def test_a_popup_that_ended_long_ago_says_nothing_any_more(stage: DeliveryStage, clock: WallClock) -> None:
    async with running(stage.loop):
        popup = await show(stage)
        stage.desktop.dismiss(popup)
        await settled(stage, "$a", State.DISMISSED)
        clock.jump(AFTERGLOW_MS / 1000)
        stage.desktop.type(popup, "whose is this?")
        stage.desktop.signal(Activated(stage.desktop.popup(popup), "default"))
        await stage.loop.rest()
    assert (stage.requests, stage.opener.opened) == ([], [])


async def test_a_reply_of_nothing_but_blanks_is_none(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        stage.desktop.type(await show(stage), " \n\t")
        await stage.loop.rest()
    assert stage.requests == []
    assert stage.state("$a") is State.SHOWN


async def test_popups_and_buttons_that_are_not_ours_say_nothing(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        ours = stage.desktop.popup(await show(stage))
        for popup in (Popup(ours.server, 4711), Popup("another server", ours.id)):
            for action in ("default", "mark-read", "mute", "accept", "retry", ""):
                stage.desktop.signal(Activated(popup, action))
            stage.desktop.signal(Replied(popup, "not to us"))
            stage.desktop.signal(Closed(popup, Closing.DISMISSED))
        stage.desktop.signal(Activated(ours, "x" * 10_000))
        await stage.loop.rest()
    assert (stage.requests, stage.opener.opened) == ([], [])
    assert stage.state("$a") is State.SHOWN


async def test_a_popup_that_was_acted_upon_and_cannot_be_closed_now_is_closed_later(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await show(stage)
        stage.desktop.close_troubles.append(RetryLater(None, "busy"))
        stage.desktop.press("Mark as read")
        await until(lambda: stage.requests)
        await until(lambda: not stage.desktop.on_screen)
    assert len(stage.requests) == 1


class NotingOpener(FakeOpener):
    """Notes how much was shown when it was asked."""

    def __init__(self, desktop: FakeDesktop) -> None:
        super().__init__()
        self.desktop = desktop
        self.shown_before: list[int] = []

    async def open(self, room_id: RoomId | None, event_id: EventId | None, token: str | None) -> bool:
        self.shown_before.append(self.desktop.calls)
        return await super().open(room_id, event_id, token)


async def test_a_click_does_not_wait_for_a_flood_of_other_rooms(clock: WallClock) -> None:
    desktop = FakeDesktop()
    opener = NotingOpener(desktop)
    stage = DeliveryStage(clock, desktop=desktop, opener=opener)
    rooms = [f"!room{number}:example.org" for number in range(5)]
    async with running(stage.loop):
        popup = await show(stage)
        desktop.hang()
        await stage.commit(*(make_delivery(f"$in{room}", room_id=room) for room in rooms))
        await until(lambda: desktop.calls == 2, "the first of them on its way")
        desktop.click(popup)
        desktop.answer()
        await until(lambda: all(stage.state(EventId(f"$in{room}")) is State.SHOWN for room in rooms))
    assert opener.shown_before == [2]


async def test_a_new_server_gets_everything_though_the_user_clicks_meanwhile(stage: DeliveryStage) -> None:
    rooms = [f"!room{number}:example.org" for number in range(5)]
    async with running(stage.loop):
        stage.desktop.troubles.extend([RetryLater(300, "busy")] * 5)
        await stage.commit(*(make_delivery(f"$in{room}", room_id=room) for room in rooms))
        await until(lambda: stage.desktop.calls == 5)
        stage.desktop.hang()
        stage.desktop.appear()
        await until(lambda: stage.desktop.calls == 6)
        stage.loop.note_opened(OTHER_ROOM)
        stage.desktop.answer()
        async with asyncio.timeout(60):
            await until(lambda: all(stage.state(EventId(f"$in{room}")) is State.SHOWN for room in rooms))


def make_call(clock: WallClock, seconds: int) -> Delivery:
    until_ms = clock() + 1000 * seconds
    content = make_content("Incoming call", category=Category.CALL, sound="ring", rings_until_ms=until_ms)
    return make_delivery("$call", content=content)


async def test_a_call_insists_until_its_time_is_over_and_was_missed_then(
    stage: DeliveryStage, clock: WallClock
) -> None:
    async with running(stage.loop):
        await stage.commit(make_call(clock, 30))
        await settled(stage, "$call", State.SHOWN)
        (ringing,) = stage.desktop.on_screen.values()
        assert ringing.urgency is Urgency.CRITICAL
        await asyncio.sleep(29)
        assert len(stage.desktop.shown) == 1
        await asyncio.sleep(2)
        (missed,) = stage.desktop.on_screen.values()
    assert "Missed call" in missed.body
    assert missed.is_update
    assert not ringing.is_update
    assert missed.urgency is Urgency.NORMAL
    assert missed.sound is None
    assert [action.label for action in missed.actions] == ["Reply in Lunch", "Mark as read", "Mute…"]
    assert stage.desktop.calls == 2


async def test_a_call_that_waits_for_the_desktop_for_too_long_comes_as_a_missed_one(
    stage: DeliveryStage, clock: WallClock
) -> None:
    stage.desktop.troubles.append(RetryLater(60, "busy"))
    async with running(stage.loop):
        await stage.commit(make_call(clock, 30))
        await settled(stage, "$call", State.SHOWN)
    assert "Missed call" in stage.desktop.bodies[0]


async def test_a_call_answered_elsewhere_is_silent_at_once(stage: DeliveryStage, clock: WallClock) -> None:
    async with running(stage.loop):
        await stage.commit(make_call(clock, 30))
        await settled(stage, "$call", State.SHOWN)
        await stage.commit(changes=[Withdrawal(EventId("$call"), "answered or declined on another device")])
        await until(lambda: not stage.desktop.on_screen)
        await asyncio.sleep(60)
    assert stage.desktop.calls == 1
