"""What a gap needs: an absence in which more came than a sync brings, and a homeserver that may fail to tell of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edges.loops.stage import SyncStage, WallClock, running
from fakes.homeserver import FakeHomeserver
from heliograph.core.delivery import State
from heliograph.core.events import Sync
from heliograph.core.ids import EventId, RoomId
from heliograph.errors import Refused
from heliograph.loops.sync.polling import TIMELINE_LIMIT
from heliograph.ports.homeserver import MessagesPage, NotificationsPage, SyncRequest
from support.builders import ME
from support.waiting import until

YEAR = 365 * 86_400
MANY = 3 * TIMELINE_LIMIT
NO_LIST = Refused(404, "M_UNRECOGNIZED", "no such thing")


class GappyHomeserver(FakeHomeserver):
    """Whose lists may fail; counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__(ME)
        self.list_failure: Exception | None = None
        self.list_failures_left = 1_000_000
        self.messages_failure: Exception | None = None
        self.lists = 0
        self.pages = 0
        self.on_list: Callable[[], None] = lambda: None
        self.tells_beginnings = True
        """Whether it says where gaps begin."""

    async def sync(self, request: SyncRequest) -> Sync:
        told = await super().sync(request)
        if self.tells_beginnings:
            return told
        return replace(told, joined=tuple(replace(room, prev_batch=None) for room in told.joined))

    async def notifications(self, *, since: str | None, limit: int) -> NotificationsPage:
        self.lists += 1
        self.on_list()
        if self.list_failure is not None and self.list_failures_left:
            self.list_failures_left -= 1
            raise self.list_failure
        return await super().notifications(since=since, limit=limit)

    async def messages(
        self,
        room_id: RoomId,
        *,
        since: str,
        until: str | None,
        limit: int,
        event_types: frozenset[str] | None = None,
    ) -> MessagesPage:
        self.pages += 1
        if self.messages_failure is not None:
            raise self.messages_failure
        return await super().messages(room_id, since=since, until=until, limit=limit, event_types=event_types)


class Absence:
    """The daemon was connected, knew one message, and was gone while many came."""

    def __init__(self, clock: WallClock, homeserver: GappyHomeserver) -> None:
        self.clock = clock
        self.homeserver = homeserver
        self.stage = SyncStage(clock, homeserver=homeserver)
        self.known = EventId("$unknown")

    async def before(self, *, is_known: bool = True, is_read: bool = False) -> RoomId:
        room = await self.stage.room()
        async with running(self.stage.loop):
            await self.stage.connected()
            if is_known:
                self.known = await self.stage.hears(room, "known")
            if is_read:
                await self.stage.me.read(room, self.known)
                await until(lambda: self.stage.ledger.deliveries[self.known].state is State.CANCELLED)
        return room

    async def miss(self, room: str, count: int = MANY) -> None:
        for number in range(count):
            await self.stage.alice.send_text(room, f"number {number}")

    def back(self) -> SyncStage:
        self.homeserver.lists = self.homeserver.pages = 0
        self.homeserver.requests.clear()
        return SyncStage(
            self.clock, homeserver=self.homeserver, ledger=self.stage.ledger, encryption=self.stage.encryption
        )


def missed_and_known() -> list[str]:
    return ["known", *(f"number {number}" for number in range(MANY))]


async def all_ring(stage: SyncStage) -> None:
    async with running(stage.loop):
        await stage.connected()
        await stage.rings(f"number {MANY - 1}")
