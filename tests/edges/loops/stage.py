"""What a loop's test stands on: the loop in a task, fakes at its ports, and a wall clock that the test may set."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence

from fakes.desktop import FakeDesktop
from fakes.encryption import FakeEncryption
from fakes.homeserver import FakeHomeserver
from fakes.ledger import FakeLedger
from fakes.notices import FakeNotices
from heliograph.core.connection import ConnectionState
from heliograph.core.delivery import State
from heliograph.core.encryption.values import Received, Rejected, RoomKey
from heliograph.core.ids import EventId, RoomId, event_key
from heliograph.core.popups.actions import ActionRequest
from heliograph.core.popups.bursts import SoundGate
from heliograph.core.popups.privacy import SHOW_ALL, Privacy
from heliograph.core.push.predefined import predefined_rules
from heliograph.core.record import Delivery, Edit, Plan, Withdrawal
from heliograph.errors import LoggedOut
from heliograph.loops.delivery.loop import DeliveryLoop
from heliograph.loops.delivery.notices import AccountNotices
from heliograph.loops.delivery.rounds import Rounds
from heliograph.loops.delivery.settings import DeliverySettings
from heliograph.loops.quiet import QuietLoop
from heliograph.loops.renewal import RenewalLoop
from heliograph.loops.sync import Commit, SyncFacts, SyncLoop, SyncSettings, ToDevice
from heliograph.ports.desktop import Desktop, Pictures
from support.builders import ME
from support.waiting import until

_tokens = itertools.count(1)


class WallClock:
    """Milliseconds since 1970, which go on with the event loop's time, unless somebody sets the clock."""

    def __init__(self) -> None:
        self.ahead_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ahead_ms + round(asyncio.get_running_loop().time() * 1000)

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self.ahead_ms += int(seconds * 1000)


@contextlib.asynccontextmanager
async def running(loop: DeliveryLoop | SyncLoop | RenewalLoop) -> AsyncIterator[asyncio.Task[object]]:
    """The loop in a task, which is ended afterwards; what it raised is raised here."""
    task: asyncio.Task[object] = asyncio.create_task(loop.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class FakeOpener:
    """`ports.Opener`: notes what it was asked to open."""

    def __init__(self) -> None:
        self.opened: list[tuple[RoomId | None, EventId | None, str | None]] = []
        self.works = True

    async def open(self, room_id: RoomId | None, event_id: EventId | None, token: str | None) -> bool:
        self.opened.append((room_id, event_id, token))
        return self.works


class DeliveryStage:
    """A delivery loop, its desktop, and a ledger that the test plays the sync loop for."""

    def __init__(
        self,
        clock: WallClock,
        *,
        ledger: FakeLedger | None = None,
        desktop: FakeDesktop | None = None,
        screen: Desktop | None = None,
        opener: FakeOpener | None = None,
        max_rooms: int = 5,
        me: str = ME,
        quiet: QuietLoop | None = None,
        privacy: Privacy = SHOW_ALL,
        pictures: Pictures | None = None,
        gate: SoundGate | None = None,
    ) -> None:
        self.clock = clock
        self.ledger = ledger or FakeLedger()
        self.desktop = desktop or FakeDesktop()
        self.opener = opener or FakeOpener()
        self.me = me
        rounds = Rounds(clock)
        # `screen` stands in for the fake where a test looks at a notification server instead.
        screen = screen or self.desktop
        self.notices = AccountNotices(screen, me, rounds.wake)
        self.changes = 0
        self.on_change: Callable[[], None] = lambda: None
        self.on_rang: Callable[[Sequence[Delivery]], None] = lambda _: None
        self.rang: list[str] = []
        self.most_rang_at_once = 0
        self.told: list[str] = []
        """What those that hear of it are told that it says."""
        self.requests: list[ActionRequest] = []
        self.loop = DeliveryLoop(
            self.ledger,
            screen,
            self.opener,
            self.notices,
            rounds,
            DeliverySettings(me, max_rooms, privacy=privacy),
            clock=clock,
            jitter=lambda: 0.5,
            through=lambda: None if quiet is None else quiet.through,
            on_change=self._note_change,
            on_rang=self._note_rang,
            on_request=self.requests.append,
            pictures=pictures,
            gate=gate,
        )

    def _note_change(self) -> None:
        self.changes += 1
        self.on_change()

    def _note_rang(self, rung: Sequence[Delivery]) -> None:
        self.most_rang_at_once = max(self.most_rang_at_once, len(rung))
        self.rang.extend(each.event_id for each in rung)
        self.told.extend(each.content.text for each in rung if each.content is not None)
        self.on_rang(rung)

    @property
    def sounds(self) -> int:
        """How often it sounded."""
        return sum(each.notification.sound is not None for each in self.desktop.shown)

    async def commit(self, *deliveries: Delivery, changes: Sequence[Withdrawal | Edit] = ()) -> None:
        """As the sync loop does: into the ledger, then the loop is told."""
        plan = Plan(f"s{next(_tokens)}", deliveries=deliveries, changes=tuple(changes))
        await self.ledger.commit(plan, self.clock())
        self.loop.wake()

    def state(self, event_id: str) -> State:
        return self.ledger.deliveries[event_key(event_id)].state

    @property
    def popup_ids(self) -> list[int]:
        return list(self.desktop.on_screen)


class NotingListener:
    """`SyncListener`: notes what it hears."""

    def __init__(self) -> None:
        self.turns = 0
        self.news = 0
        """Commits with deliveries that came or changed."""
        self.received: list[Received | Rejected] = []
        self.wanted: list[frozenset[RoomKey]] = []
        self.silent: list[str] = []
        """Events that a rule kept silent."""
        self.catching_up: list[bool] = []
        """True: news came while more was on its way. False: all of it had come."""

    def to_device(self, came: ToDevice) -> None:
        self.received.extend(came.outcomes)

    def committed(self, commit: Commit) -> None:
        self.news += commit.has_news
        self.silent.extend(commit.silent)
        if commit.wanted_keys:
            self.wanted.append(commit.wanted_keys)
        if commit.has_news and commit.is_catching_up:
            self.catching_up.append(True)

    def caught_up(self) -> None:
        self.catching_up.append(False)

    def alive(self) -> None:
        self.turns += 1


class SyncStage:
    """A sync loop on a homeserver in memory. Alice and the user's other client act there."""

    def __init__(
        self,
        clock: WallClock,
        *,
        homeserver: FakeHomeserver | None = None,
        ledger: FakeLedger | None = None,
        encryption: FakeEncryption | None = None,
    ) -> None:
        self.clock = clock
        self.homeserver = homeserver or FakeHomeserver(ME)
        self.homeserver.add_account_data("m.push_rules", {"global": predefined_rules(ME)})
        self.ledger = ledger or FakeLedger()
        self.encryption = encryption or FakeEncryption()
        self.is_listing = False
        """Whether the homeserver has reason to list what rings."""
        self.heard = NotingListener()
        self.notices = FakeNotices()
        self.is_network_up = True
        self.longest_poll_s = 1000.0
        """How long a poll may be, since its access token ends then."""
        self.me = self.homeserver.user(ME)
        self.alice = self.homeserver.user("@alice:example.org")
        self.loop = SyncLoop(
            self.homeserver,
            self.ledger,
            self.encryption,
            SyncSettings(),
            self.heard,
            clock=clock,
            jitter=lambda: 0.5,
            troubles=self.notices,
            is_listing=lambda: self.is_listing,
            is_network_up=lambda: self.is_network_up,
            limit_poll=lambda poll_s: min(poll_s, self.longest_poll_s),
        )

    @property
    def facts(self) -> SyncFacts:
        """What the loop knows now."""
        return self.loop.facts

    @property
    def connection(self) -> ConnectionState:
        return self.loop.facts.connection

    @property
    def troubles(self) -> list[tuple[str, str]]:
        """What the user was told: titles and hints."""
        return self.notices.told

    async def room(self, name: str = "Lunch") -> RoomId:
        """A room of Alice and the user."""
        room = await self.alice.create_room(name, invite=[self.me])
        await self.me.join(room)
        return room

    async def connected(self) -> None:
        """Returns when the loop polls."""
        await until(lambda: any(each.timeout_ms for each in self.homeserver.requests), "a poll")

    async def hears(self, room: RoomId, text: str) -> EventId:
        """Alice says this in the room, and it rings."""
        event = await self.alice.send_text(room, text)
        await self.rings(text)
        return event

    async def rings(self, text: str) -> None:
        await until(lambda: text in self.rung, f"{text!r} among the deliveries")

    @property
    def rung(self) -> list[str]:
        """Texts of all deliveries, in order."""
        found = sorted(self.ledger.deliveries.values(), key=lambda each: each.position)
        return [each.content.text for each in found if each.content is not None]


async def until_signed_out(task: asyncio.Task[object]) -> LoggedOut:
    """What the loop returned."""
    gone = await asyncio.wait_for(task, 3600)
    assert isinstance(gone, LoggedOut)
    return gone
