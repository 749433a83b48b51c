"""What tests of deliveries wait for."""

from __future__ import annotations

from edges.loops.stage import DeliveryStage
from heliograph.core.delivery import State
from heliograph.core.ids import RoomId
from support.waiting import until

OTHER_ROOM = RoomId("!other:example.org")


HOUR = 3600


async def shown(stage: DeliveryStage, event_id: str) -> None:
    await until(lambda: stage.state(event_id) is State.SHOWN, f"{event_id} on screen")


async def settled(stage: DeliveryStage, event_id: str, state: State) -> None:
    await until(lambda: stage.state(event_id) is state, f"{event_id} {state.value}")


def room(number: int) -> str:
    return f"!room{number}:example.org"
