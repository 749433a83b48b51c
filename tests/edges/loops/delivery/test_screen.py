"""What is on screen follows its ledger, and a notification server that restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from edges.loops.delivery.outcome import HOUR, OTHER_ROOM, settled, shown
from edges.loops.stage import DeliveryStage, WallClock, running
from fakes.ledger import FakeLedger
from heliograph.core.delivery import RetryLater, State
from heliograph.core.ids import EventId
from heliograph.core.popups.quiet import Through
from heliograph.core.record import Agenda, Edit, Plan, PopupRecord, Withdrawal
from heliograph.ports.ledger import Settlement
from support.builders import ROOM, make_delivery
from support.waiting import until

# What changes meanwhile


async def test_a_withdrawn_delivery_is_taken_from_the_screen(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await until(lambda: not stage.desktop.on_screen)
        await until(lambda: not stage.ledger.popup_records)
    assert stage.state("$a") is State.WITHDRAWN


async def test_what_is_withdrawn_of_several_leaves_the_others(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"), make_delivery("$b", text="two"))
        await shown(stage, "$b")
        await stage.commit(changes=[Withdrawal(EventId("$a"), "deleted")])
        await until(lambda: stage.desktop.bodies == ["Alice: two"])
    assert len(stage.desktop.on_screen) == 1


async def test_an_edit_changes_what_is_shown(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="helo"))
        await shown(stage, "$a")
        await stage.commit(changes=[Edit(EventId("$a"), "hello")])
        await until(lambda: stage.desktop.bodies == ["Alice: hello"])
    assert stage.desktop.shown[1].notification.sound is None


async def test_an_edit_that_changes_nothing_shows_nothing(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="hello"))
        await shown(stage, "$a")
        await stage.commit(changes=[Edit(EventId("$a"), "hello")])
        await until(lambda: not stage.ledger.popup_records[ROOM].is_stale)
    assert stage.desktop.calls == 1


@pytest.mark.parametrize("change", [Edit(EventId("$a"), "changed"), Withdrawal(EventId("$a"), "read elsewhere")])
async def test_what_changes_while_notify_is_under_way_is_on_screen_afterwards(
    stage: DeliveryStage, change: Edit | Withdrawal
) -> None:
    stage.desktop.hang()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="first"))
        await until(lambda: stage.desktop.calls == 1)
        await stage.commit(changes=[change])
        stage.desktop.answer()
        wanted = ["Alice: changed"] if isinstance(change, Edit) else []
        await until(lambda: stage.desktop.shown and stage.desktop.bodies == wanted)


async def test_what_is_withdrawn_while_the_desktop_fails_is_never_shown(stage: DeliveryStage) -> None:
    stage.desktop.troubles.append(RetryLater(10, "busy"))
    stage.desktop.hang()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await until(lambda: stage.desktop.calls == 1)
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        stage.desktop.answer()
        await asyncio.sleep(HOUR)
    assert stage.desktop.calls == 1
    assert stage.state("$a") is State.CANCELLED


async def test_a_popup_that_cannot_be_closed_now_is_closed_later(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.desktop.close_troubles.extend([RetryLater(10, "hung")] * 3)
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await until(lambda: not stage.desktop.on_screen)


async def test_a_popup_that_cannot_be_changed_now_is_changed_later(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="helo"))
        await shown(stage, "$a")
        stage.desktop.troubles.append(RetryLater(10, "hung"))
        await stage.commit(changes=[Edit(EventId("$a"), "hello")])
        await until(lambda: stage.desktop.bodies == ["Alice: hello"])


async def test_a_popup_to_be_closed_does_not_wait_for_a_delivery_put_off_for_minutes(
    stage: DeliveryStage, clock: WallClock
) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.desktop.troubles.append(RetryLater(500, "busy"))
        await stage.commit(make_delivery("$b", room_id=OTHER_ROOM))
        await until(lambda: stage.desktop.calls == 2)
        stage.desktop.close_troubles.append(RetryLater(10, "hung"))
        start = clock()
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await until(lambda: not stage.desktop.on_screen)
    assert clock() - start < 60_000


class MeddledLedger(FakeLedger):
    """Something else is committed right after the loop has asked what there is to show."""

    def __init__(self) -> None:
        super().__init__()
        self.meddling: list[Plan] = []

    async def agenda(self, now_ms: int, latest_ms: int | None = None, through: Through | None = None) -> Agenda:
        agenda = await super().agenda(now_ms, latest_ms, through)
        await self._meddle(self.meddling)
        return agenda

    async def _meddle(self, plans: list[Plan]) -> None:
        while plans:
            await self.commit(plans.pop(), 0)


async def test_a_change_after_the_look_into_the_ledger_closes_nothing_that_is_open(clock: WallClock) -> None:
    ledger = MeddledLedger()
    stage = DeliveryStage(clock, ledger=ledger)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"), make_delivery("$b", text="two"))
        await shown(stage, "$b")
        ledger.meddling.append(Plan("s99", changes=(Withdrawal(EventId("$a"), "read elsewhere"),)))
        stage.loop.wake()
        await until(lambda: not ledger.meddling)
        stage.loop.wake()
        await until(lambda: stage.desktop.bodies == ["Alice: two"])
        assert stage.state("$b") is State.SHOWN


class EditingLedger(FakeLedger):
    """An edit is committed just before a popup that needs no change is noted as such."""

    edit: Edit | None = None

    async def settle(
        self, settlements: Sequence[Settlement], *, shown: PopupRecord | None = None, closed: str | None = None
    ) -> None:
        edit, self.edit = self.edit, None
        if edit is not None:
            await self.commit(Plan("s99", changes=(edit,)), 0)
        await super().settle(settlements, shown=shown, closed=closed)


async def test_an_edit_that_comes_as_its_popup_is_found_unchanged_is_shown(clock: WallClock) -> None:
    ledger = EditingLedger()
    stage = DeliveryStage(clock, ledger=ledger)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"))
        await shown(stage, "$a")
        ledger.edit = Edit(EventId("$a"), "two")
        await stage.commit(changes=[Edit(EventId("$a"), "one")])
        await until(lambda: ledger.edit is None)
        stage.loop.wake()
        await until(lambda: stage.desktop.bodies == ["Alice: two"])


# Restarts of the notification server


async def test_what_was_shown_is_not_shown_again_by_another_server(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.desktop.vanish()
        stage.desktop.appear()
        await asyncio.sleep(HOUR)
    assert stage.desktop.calls == 1
    assert stage.ledger.popup_records == {}


async def test_ids_of_an_earlier_server_are_never_used(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="one"))
        await shown(stage, "$a")
        stage.desktop.appear()
        await stage.commit(make_delivery("$b", text="two"))
        await shown(stage, "$b")
        assert stage.desktop.shown[1].replaces is None
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read elsewhere")])
        await settled(stage, "$a", State.WITHDRAWN)
        await asyncio.sleep(60)
    assert stage.desktop.bodies == ["Alice: two"]


async def test_a_server_that_goes_while_notify_is_under_way_costs_nothing(stage: DeliveryStage) -> None:
    stage.desktop.hang()
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await until(lambda: stage.desktop.calls == 1)
        stage.desktop.vanish()
        stage.desktop.answer()
        await asyncio.sleep(60)
        assert stage.state("$a") is State.PENDING
        stage.desktop.appear()
        await shown(stage, "$a")
    assert stage.desktop.bodies == ["Alice: hello"]


async def test_a_server_that_comes_and_goes_while_the_loop_is_busy_is_the_last_that_counts(
    stage: DeliveryStage,
) -> None:
    async with running(stage.loop):
        stage.desktop.hang()
        await stage.commit(make_delivery("$a"), make_delivery("$b", room_id=OTHER_ROOM))
        await until(lambda: stage.desktop.calls == 1)
        stage.desktop.vanish()
        stage.desktop.appear()
        stage.desktop.answer()
        await shown(stage, "$a")
        await shown(stage, "$b")
        await asyncio.sleep(60)
        await stage.commit(changes=[Withdrawal(EventId("$a"), "read"), Withdrawal(EventId("$b"), "read")])
        await until(lambda: not stage.desktop.on_screen)
