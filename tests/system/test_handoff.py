"""The handoff: who leaves cleanly loses nothing, on a stock Synapse in both modes; and behind the relay one rings.

Messages are sent all the time while the user leaves and returns. Each must reach one side: go to the gateway as a push,
or into the ledger as a delivery. A clean leave is a locked session, sleep, a stop, or a crash after which the service's
ExecStopPost ran and systemd started the daemon again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from conftest import Home, NewUser
from edges.scripted_gateway import ScriptedGateway
from fakes.login1 import FakeLogind
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account
from heliograph.control.client import ask_status
from heliograph.core.pushers.fallback import NOTIFY_PATH
from heliograph.core.pushers.pusher import Pusher
from heliograph.demo.user import DemoUser
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.session import Session
from support.buses import PrivateBus
from support.waiting import until
from system.command import heliograph
from system.daemon import Daemon, sign_in
from system.evidence import PATIENCE_S, decisions, rings, rung
from system.relay_scene import Scene

TALKERS = 4
"""At a time, so that some message is always on its way."""
LOGIND_WAITS_S = 4.5
"""Five seconds, by default; less than that must do."""
PAUSED_EVERYWHERE = "Nothing pops up until resumed. To end it: heliograph resume\n"
TOPIC = "upAbCdEf123456"
CONFIG = """\
[fallback]
gateway = "{url}{path}"
pushkey = "{url}/{topic}?up=1"
[handoff]
mode = "{mode}"
quiet = ["Pixel"]
"""


@dataclass
class Stage:
    """The user's account, Alice who writes to it, the desk, and the gateway that rings elsewhere."""

    me: DemoUser
    alice: DemoUser
    room: str
    account: Account
    gateway: ScriptedGateway
    logind: FakeLogind
    screen: NotificationServer
    homeserver: HomeserverClient
    mode: str
    sent: list[str] = field(default_factory=list)

    async def send(self, text: str) -> str:
        event = await self.alice.send_text(self.room, text)
        self.sent.append(event)
        return event

    async def talk(self, stop: asyncio.Event) -> None:
        """One message after the other."""
        while not stop.is_set():
            await self.send(f"message {len(self.sent)}")

    async def pusher(self, pushkey: str) -> Pusher | None:
        return next((each for each in await self.homeserver.pushers() if each.pushkey == pushkey), None)

    @property
    def pushkey(self) -> str:
        return f"{self.gateway.url}/{TOPIC}?up=1"

    async def is_ringing_elsewhere(self, pushkey: str | None = None) -> bool:
        pusher = await self.pusher(pushkey or self.pushkey)
        return pusher is not None and pusher.is_enabled

    async def fallback_is(self, *, on: bool) -> None:
        async def is_so() -> bool:
            return await self.pusher(self.pushkey) is not None and await self.is_ringing_elsewhere() is on

        await until(is_so, f"the fallback {'on' if on else 'off'}", PATIENCE_S)

    @property
    def judged(self) -> set[str]:
        """What rang on the desktop, or waits to."""
        return {event for event, decision in decisions(self.account).items() if decision == "ring"}

    def missing(self, events: list[str]) -> list[str]:
        """What neither side has yet."""
        here, elsewhere = self.judged, set(self.gateway.event_ids)
        return [event for event in events if event not in here and event not in elsewhere]

    async def lost_so_far(self) -> list[str]:
        """Of all that was sent before, and of two more, what neither side gets while the user stays away."""
        count = len(self.sent) + 2
        await until(lambda: len(self.sent) >= count, "two more messages")
        events = list(self.sent)
        with contextlib.suppress(AssertionError):
            await until(lambda: not self.missing(events), "every message", PATIENCE_S)
        return self.missing(events)


@pytest.fixture
def mode() -> str:
    return "switch"


@pytest.fixture
async def logind(private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeLogind]:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", private_bus.address)
    logind = FakeLogind(private_bus.address)
    await logind.start()
    yield logind
    await logind.stop()


@pytest.fixture
async def stage(
    new_user: NewUser, screen: NotificationServer, logind: FakeLogind, home: Home, mode: str
) -> AsyncIterator[Stage]:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    session = Session(me.base_url, access_token=me.access_token, user_id=me.user_id, device_id=me.device_id)
    with ScriptedGateway() as gateway:
        (home.config / "heliograph").mkdir()
        text = CONFIG.format(url=gateway.url, path=NOTIFY_PATH, topic=TOPIC, mode=mode)
        (home.config / "heliograph/config.toml").write_text(text)
        account = await sign_in(me)
        yield Stage(me, alice, room, account, gateway, logind, screen, HomeserverClient(session), mode)
    await session.close()


async def taken_over(stage: Stage) -> None:
    """Returns when the desktop rings, and alone if the mode is so."""

    async def is_so() -> bool:
        answer = await ask_status()
        if answer is None or not answer["accounts"]:
            return False
        handoff = answer["accounts"][0]["handoff"]
        is_registered = handoff["fallback"] == "registered" and handoff["trouble"] is None
        is_quiet = stage.mode == "always" or bool(handoff["quiet"])
        is_done = is_registered and handoff["present"] and is_quiet and not handoff["hushed"]
        # What is told as quiet is written down before the homeserver is asked.
        return is_done and (stage.mode == "always" or not await stage.is_ringing_elsewhere())

    try:
        await until(is_so, "the desktop's turn", PATIENCE_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {await ask_status()}") from None


async def run_command(*words: str) -> str:
    """What the command wrote. It must succeed."""
    ended = await heliograph(*words)
    assert ended.code == 0, ended.output + ended.errors
    return ended.output


# On a slow machine, more is said while the daemon is away than the daemon pages back.
@pytest.mark.expected_log("There may be more in .*: too much came$", times=(0, 9))
@pytest.mark.parametrize("mode", ["switch", "always"])
async def test_a_clean_leave_loses_nothing(stage: Stage, mode: str, is_long: bool) -> None:
    stop = asyncio.Event()
    async with Daemon() as daemon:
        await taken_over(stage)
        talk = asyncio.gather(*(stage.talk(stop) for _ in range(TALKERS)))
        leaves = (by_lock, by_sleep, by_stop, by_crash)
        count = 100 if is_long else {"switch": 4, "always": 2}[mode]
        lost = [event for number in range(count) for event in await leaves[number % len(leaves)](stage, daemon)]
        stop.set()
        await talk
        with contextlib.suppress(AssertionError):
            await until(lambda: not stage.missing(stage.sent), "the rest", PATIENCE_S)
    assert lost == []
    assert stage.missing(stage.sent) == []
    assert len(stage.sent) > 2 * count


async def by_lock(stage: Stage, daemon: Daemon) -> list[str]:
    """The user leaves, and comes back. What neither side had meanwhile."""
    stage.logind.lock()
    await until(_is_away, "the handoff", PATIENCE_S)
    lost = await stage.lost_so_far()
    stage.logind.unlock()
    await taken_over(stage)
    return lost


async def by_sleep(stage: Stage, daemon: Daemon) -> list[str]:
    """The machine sleeps when it is let, and wakes."""
    assert await stage.logind.suspend() < LOGIND_WAITS_S
    assert await stage.is_ringing_elsewhere()
    daemon.freeze()
    lost = await stage.lost_so_far()
    daemon.thaw()
    stage.logind.resume()
    await taken_over(stage)
    return lost


async def by_stop(stage: Stage, daemon: Daemon) -> list[str]:
    """The service is stopped, and started again."""
    assert await daemon.stop() == 0
    assert await stage.is_ringing_elsewhere()
    lost = await stage.lost_so_far()
    await daemon.start()
    await taken_over(stage)
    return lost


async def by_crash(stage: Stage, daemon: Daemon) -> list[str]:
    """The daemon is killed; systemd runs ExecStopPost, and starts it again."""
    await daemon.kill()
    told = await run_command("handoff", "--leave")
    assert await stage.is_ringing_elsewhere(), told
    await daemon.start()
    await taken_over(stage)
    return await stage.lost_so_far()


async def _is_away() -> bool:
    answer = await ask_status()
    return answer is not None and answer["accounts"][0]["handoff"]["hushed"] is True


@pytest.mark.parametrize("mode", ["switch"])
async def test_who_is_here_is_rung_here_and_who_is_away_elsewhere(stage: Stage) -> None:
    async with Daemon():
        await taken_over(stage)
        here = await stage.send("are you here")
        await rung(stage.screen, "are you here")
        stage.logind.lock()
        await stage.fallback_is(on=True)
        await until(_is_away, "the hush", PATIENCE_S)
        count = len(stage.screen.shown)
        away = await stage.send("or away")
        await until(lambda: away in stage.gateway.event_ids, "the push", PATIENCE_S)
        # A locked screen does not show what it says.
        await until(lambda: len(stage.screen.shown) > count, "the notification", PATIENCE_S)
        shown = stage.screen.shown[-1]
        # Read on the phone: gone before the user is back.
        await stage.me.read(stage.room, away)
        await until(lambda: shown.id not in stage.screen.on_screen, "the withdrawal", PATIENCE_S)
        stage.logind.unlock()
        await stage.fallback_is(on=False)
    assert here not in stage.gateway.event_ids
    assert shown.hints["suppress-sound"] is True


@pytest.mark.parametrize("mode", ["switch"])
async def test_after_a_crash_the_service_gives_the_others_their_voice_back(stage: Stage) -> None:
    daemon = Daemon()
    async with daemon:
        await taken_over(stage)
        await daemon.kill()
        assert not await stage.is_ringing_elsewhere()
        between = await stage.send("between the crash and what comes after it")
        assert "1 pusher switched on again" in await run_command("handoff", "--leave")
        after = await stage.send("after it")
        await until(lambda: after in stage.gateway.event_ids, "the push", PATIENCE_S)
        await daemon.start()
        await rung(stage.screen, "between the crash")
        await stage.fallback_is(on=False)
    assert between not in stage.gateway.event_ids
    assert rings(stage.screen, "between the crash") == 1


@pytest.mark.parametrize("mode", ["always"])
async def test_a_quiet_device_is_silent_while_the_user_is_here(stage: Stage) -> None:
    phone, tablet = make_device(stage, "the-phone"), make_device(stage, "the-tablet")
    await stage.homeserver.set_pusher(phone)
    # Another client switched this one off: it is not ours to switch on.
    await stage.homeserver.set_pusher(replace(tablet, is_enabled=False))
    async with Daemon() as daemon:
        await until(lambda: _is_off(stage, "the-phone"), "the phone off", PATIENCE_S)
        assert "silent meanwhile: Pixel" in await run_command("handoff")
        stage.logind.lock()
        await until(lambda: stage.is_ringing_elsewhere("the-phone"), "the phone on", PATIENCE_S)
        stage.logind.unlock()
        await until(lambda: _is_off(stage, "the-phone"), "the phone off again", PATIENCE_S)
        assert await daemon.stop() == 0
    assert await stage.is_ringing_elsewhere("the-phone")
    assert await _is_off(stage, "the-tablet")


def make_device(stage: Stage, pushkey: str) -> Pusher:
    """Another device of the user, which the configuration calls quiet."""
    return Pusher(
        app_id="org.example.phone",
        pushkey=pushkey,
        kind="http",
        app_display_name="Element Android",
        device_display_name="Pixel",
        lang="en",
        data={"url": f"{stage.gateway.url}{NOTIFY_PATH}"},
    )


async def _is_off(stage: Stage, pushkey: str) -> bool:
    return not await stage.is_ringing_elsewhere(pushkey)


@pytest.mark.parametrize("mode", ["always"])
async def test_a_switch_off_by_another_client_is_obeyed_and_shown(stage: Stage) -> None:
    own = stage.account.pushkey
    async with Daemon() as daemon:
        await until(lambda: stage.pusher(own), "our pusher", PATIENCE_S)
        before = await stage.send("before the switch")
        await rung(stage.screen, "before the switch")
        assert "Switched Heliograph" in await run_command("pushers", "disable", "Heliograph")
        # A look at the pushers comes every 50 s, or with the first sync after a start.
        assert await daemon.stop() == 0
        await daemon.start()
        await until(_is_switched_off, "the switch", PATIENCE_S)
        assert "switched off by another of your clients" in await run_command("status")
        after = await stage.send("after the switch")
        await until(lambda: after in decisions(stage.account), "the judgement", PATIENCE_S)
    assert decisions(stage.account)[before] == "ring"
    assert decisions(stage.account)[after] == "silent"


async def _is_switched_off() -> bool:
    answer = await ask_status()
    return answer is not None and answer["accounts"][0]["pusher"]["enabled"] is False


async def test_behind_the_relay_the_phone_rings_for_who_is_away_and_the_desktop_for_who_is_here(
    scene: Scene, logind: FakeLogind
) -> None:
    async with Daemon():
        await scene.ready()
        here = await scene.send("are you here")
        await scene.arrived([here])
        logind.lock()
        await until(_is_away, "the handoff", PATIENCE_S)
        away = await scene.send("or away")
        await scene.pushed([away])
        assert await scene.own_pusher_is_enabled() is False
        logind.unlock()
        await until(scene.own_pusher_is_enabled, "our pusher", PATIENCE_S)
        back = await scene.send("or back")
        await scene.arrived([back])
        await scene.relay.settled()
    assert scene.gateway.events == [away]


async def test_behind_the_relay_the_phone_rings_for_who_paused_unless_the_pause_is_for_all(
    scene: Scene, logind: FakeLogind
) -> None:
    del logind
    async with Daemon():
        await scene.ready()
        assert "your other devices ring instead" in await run_command("pause")
        await until(_is_away, "the handoff", PATIENCE_S)
        assert "you have paused notifications here" in await run_command("handoff")
        paused = await scene.send("paused here")
        await scene.pushed([paused])
        await run_command("resume")
        await until(scene.own_pusher_is_enabled, "our pusher", PATIENCE_S)
        await scene.arrived([paused])
        assert await run_command("pause", "--everywhere") == PAUSED_EVERYWHERE
        nowhere = await scene.send("paused everywhere")
        await scene.acknowledged([nowhere])
        await scene.relay.settled()
        assert scene.shown() == {paused}
        await run_command("resume")
        await scene.arrived([nowhere])
        await scene.relay.settled()
    assert scene.gateway.events == [paused]
