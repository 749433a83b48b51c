"""What a ledger is told in its contract, and how it is asked."""

from __future__ import annotations

from typing import Any

from heliograph.core.delivery import Move, State
from heliograph.core.ids import EventId, RoomId, event_key
from heliograph.core.notification import Popup
from heliograph.core.record import (
    Decision,
    Delivery,
    Judged,
    Plan,
    PopupRecord,
)
from heliograph.ports.ledger import Ledger, Settlement
from support.builders import ROOM, make_delivery

OTHER_ROOM = RoomId("!other:example.org")


def make_judged(event_id: str = "$a", **judged: Any) -> Judged:
    defaults: dict[str, Any] = {"room_id": ROOM, "decision": Decision.RING, "reason": ".m.rule.message"}
    return Judged(event_key(event_id), **(defaults | judged))


def make_plan(*event_ids: str, next_batch: str = "s2", room_id: RoomId = ROOM, **plan: Any) -> Plan:
    """Rings for each of these events."""
    defaults: dict[str, Any] = {
        "judged": tuple(make_judged(event_id, room_id=room_id) for event_id in event_ids),
        "deliveries": tuple(make_delivery(event_id, room_id=room_id) for event_id in event_ids),
    }
    return Plan(next_batch, **(defaults | plan))


def make_popup(key: str = ROOM, *, server: str = ":1.7", digest: str = "d", is_stale: bool = False) -> PopupRecord:
    return PopupRecord(key, Popup(server, 7), digest, is_stale)


async def show(ledger: Ledger, *event_ids: str, popup: PopupRecord | None = None) -> None:
    settlements = [Settlement(EventId(event_id), Move.SHOWN) for event_id in event_ids]
    await ledger.settle(settlements, shown=popup or make_popup())


async def find(ledger: Ledger, event_id: str, room_id: RoomId = ROOM) -> Delivery | None:
    found = {each.event_id: each for each in await ledger.open_deliveries([room_id])}
    return found.get(event_key(event_id))


async def count(ledger: Ledger, state: State) -> int:
    return (await ledger.counts())[state.value]
