"""One user's desktop and phone behind the relay, somebody who writes, and what can go wrong in between."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from heliograph.accounts import Account
from heliograph.control.client import ask_status
from heliograph.core.ids import RoomId
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from support.waiting import until
from system.daemon import sign_in
from system.evidence import PATIENCE_S, deliveries
from system.relay_faults import Cable, FaultyGateway
from system.relay_process import RelayProcess

_PATIENT_MS = 20_000
_HASTY_MS = 600


@dataclass
class Scene:
    """A desktop and a phone of one user behind the relay, and Alice, who writes past it."""

    relay: RelayProcess
    cable: Cable
    gateway: FaultyGateway
    account: Account
    me: DemoUser
    phone: DemoUser
    alice: DemoUser
    rooms: list[RoomId]
    before: set[str] = field(default_factory=set)
    """What rang before the test began."""

    async def send(self, text: str = "hello", room: int = 0) -> str:
        return await self.alice.send_text(self.rooms[room], text)

    async def ready(self) -> None:
        """Returns when the daemon is direct, and the relay holds for it, as it does from the first message on: for
        longer than a slow machine takes to acknowledge."""
        await until(self._is_registered, "the direct pusher", PATIENCE_S)
        await self._hold(_PATIENT_MS)
        first = await self.send("first")
        await self.acknowledged([first])
        await self.arrived([first])
        await self.relay.settled()
        await until(lambda: self.cable.is_polling, "a poll", PATIENCE_S)
        assert self.gateway.events == []
        self.cable.brought.clear()
        self.cable.apart.clear()
        self.before = self.shown()

    async def have_direct_pusher(self) -> None:
        """A device that is direct and never syncs: from now on the relay has the http pushers."""
        desktop = replace(self.me, base_url=self.relay.url)
        body = _http_pusher(self.gateway) | {"kind": "direct", "pushkey": "desktop-pushkey", "data": {}}
        await desktop.call("POST", "/pushers/set", body)

    async def become_hasty(self) -> None:
        """The relay holds for a short time only, so that many tries fit into a test."""
        await self._hold(_HASTY_MS)

    def shown(self) -> set[str]:
        """Ids of the events that rang at the desktop."""
        return {event_id for event_id, state in deliveries(self.account) if state == "shown"} - self.before

    async def arrived(self, sent: list[str]) -> None:
        """Returns when all of these rang at the desktop."""
        await until(lambda: set(sent) <= self.shown(), "the notifications", PATIENCE_S)

    async def pushed(self, sent: list[str]) -> None:
        """Returns when all of these rang at the phone."""
        await until(lambda: set(sent) <= set(self.gateway.events), "the pushes", PATIENCE_S)

    async def acknowledged(self, sent: list[str]) -> None:
        """Returns when the desktop has acknowledged all of these."""
        await until(lambda: set(sent) <= self.cable.acknowledged, "the acknowledgements", PATIENCE_S)

    async def told(self, sent: list[str]) -> None:
        """Returns when each of these is acknowledged, or rang at the phone."""
        await until(lambda: set(sent) <= self.cable.acknowledged | set(self.gateway.events), "the rings", PATIENCE_S)

    async def own_pusher_is_enabled(self) -> bool:
        """Whether the relay lists the desktop's pusher as enabled."""
        pushers = (await self.phone.call("GET", "/pushers"))["pushers"]
        (direct,) = (each for each in pushers if "direct" in each["kind"])
        return all(value for name, value in direct.items() if name.endswith("enabled"))

    async def _hold(self, delay_ms: int) -> None:
        """From now on the relay holds pushes for so long, while the desktop syncs now and then."""
        pushers = (await self.phone.call("GET", "/pushers"))["pushers"]
        (direct,) = (each for each in pushers if "direct" in each["kind"])
        kept = {name: value for name, value in direct.items() if "enabled" not in name and "device_id" not in name}
        data = {"org.matrix.msc3361.delay_ms": delay_ms, "org.matrix.msc3361.active_ms": 30_000}
        desktop = replace(self.me, base_url=self.relay.url)
        await desktop.call("POST", "/pushers/set", {**kept, "data": data})

    async def _is_registered(self) -> bool:
        answer = await ask_status()
        return bool(answer and answer["accounts"][0]["pusher"]["registered"] is True)


async def set_up(
    server: ThrowawaySynapse, relay: RelayProcess, cable: Cable, gateway: FaultyGateway, me: DemoUser, alice: DemoUser
) -> Scene:
    rooms = []
    for name in ("Lunch", "Dinner", "Work", "Family"):
        room = await alice.create_room(name, invite=[me])
        await me.join(room)
        rooms.append(room)
    account = await sign_in(replace(me, base_url=cable.url))
    phone = replace(await me.login_again("Phone"), base_url=relay.url)
    await phone.call("POST", "/pushers/set", _http_pusher(gateway))
    kept = replace(me, device_id=account.device_id)
    return Scene(relay, cable, gateway, account, kept, phone, alice, rooms)


def _http_pusher(gateway: FaultyGateway) -> dict[str, object]:
    return {
        "kind": "http",
        "app_id": "org.example.phone",
        "pushkey": "phone-pushkey",
        "app_display_name": "Phone",
        "device_display_name": "A phone",
        "lang": "en",
        "data": {"url": gateway.url},
    }
