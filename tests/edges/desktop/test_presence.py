"""What is particular to a Linux desktop: logind's hints, screen savers, GNOME's idle monitor, and their absence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from fakes.login1 import SESSION_PATH, FakeLogind
from heliograph.core.pushers.handoff import Signs
from heliograph.desktop.presence import DesktopPresence
from heliograph.desktop.wakeups import Wakeup, Wakeups
from support.buses import PrivateBus
from support.waiting import until

AWAY_S = 600.0


def up_for_a_day() -> float:
    """The clock of a machine that can have been idle for hours, however long ago this one was started."""
    return time.monotonic() + 86_400


class Service:
    """A screen saver or idle monitor: answers calls by member, and sends signals."""

    def __init__(self, address: str, name: str, **answers: tuple[str, Any]) -> None:
        self._address = address
        self._name = name
        self._path = "/" + name.replace(".", "/") + ("/Core" if "Idle" in name else "")
        self.answers = answers
        self.calls: list[tuple[str, list[Any]]] = []
        self._bus: MessageBus | None = None

    async def start(self) -> None:
        self._bus = await MessageBus(bus_address=self._address).connect()
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name(self._name)

    async def stop(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
            with contextlib.suppress(EOFError):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def signal(self, member: str, signature: str, *body: Any, receiver: str | None = None) -> None:
        assert self._bus is not None
        message = Message.new_signal(self._path, self._name, member, signature, list(body))
        message.destination = receiver
        self._bus.send(message)

    def _answer(self, call: Message) -> Message | bool | None:
        if call.message_type is not MessageType.METHOD_CALL or call.interface != self._name:
            return None
        self.calls.append((str(call.member), call.body))
        if call.member not in self.answers:
            # Hangs: it is never answered.
            return True
        signature, value = self.answers[call.member]
        return Message.new_method_return(call, signature, [value])


@pytest.fixture
async def logind(private_bus: PrivateBus) -> AsyncIterator[FakeLogind]:
    logind = FakeLogind(private_bus.address, up_for_a_day)
    await logind.start()
    yield logind
    await logind.stop()


@pytest.fixture
async def presence(private_bus: PrivateBus) -> AsyncIterator[DesktopPresence]:
    presence = make_presence(private_bus)
    yield presence
    await presence.stop()


def make_presence(bus: PrivateBus, away_after_s: float = AWAY_S, **more: Any) -> DesktopPresence:
    return DesktopPresence(
        away_after_s=away_after_s,
        monotonic=up_for_a_day,
        system_address=bus.address,
        session_address=bus.address,
        **more,
    )


async def test_a_session_that_is_locked_already_is_known_from_the_start(
    logind: FakeLogind, presence: DesktopPresence
) -> None:
    logind.session["LockedHint"] = Variant("b", True)
    await presence.start()
    assert presence.signs == Signs(is_locked=True)


async def test_another_session_in_front_counts_as_locked(logind: FakeLogind, presence: DesktopPresence) -> None:
    await presence.start()
    logind.change(Active=Variant("b", False))
    await until(lambda: presence.signs.is_locked)


async def test_idle_counts_from_when_it_began(logind: FakeLogind, presence: DesktopPresence) -> None:
    await presence.start()
    logind.idle(since_s=AWAY_S - 60)
    logind.lock()
    await until(lambda: presence.signs == Signs(is_locked=True))
    logind.unlock()
    logind.idle(since_s=AWAY_S + 1)
    await until(lambda: presence.signs == Signs(is_idle=True))
    logind.touch()
    await until(lambda: presence.signs == Signs())


async def test_idle_becomes_away_without_a_further_signal(logind: FakeLogind, presence: DesktopPresence) -> None:
    await presence.start()
    logind.idle(since_s=AWAY_S - 0.2)
    await until(lambda: presence.signs.is_idle)


async def test_idleness_need_not_count(private_bus: PrivateBus, logind: FakeLogind) -> None:
    presence = make_presence(private_bus, away_after_s=0)
    await presence.start()
    logind.idle(since_s=10_000)
    logind.lock()
    await until(lambda: presence.signs.is_locked)
    assert presence.signs == Signs(is_locked=True)
    await presence.stop()


async def test_a_graphical_session_that_comes_later_is_found(logind: FakeLogind, presence: DesktopPresence) -> None:
    logind.has_display = False
    logind.session["LockedHint"] = Variant("b", True)
    await presence.start()
    assert presence.signs == Signs()
    logind.log_in()
    await until(lambda: presence.signs.is_locked)


async def test_without_a_graphical_session_ours_counts(
    logind: FakeLogind, presence: DesktopPresence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_SESSION_ID", "2")
    logind.has_display = False
    logind.session["LockedHint"] = Variant("b", True)
    await presence.start()
    assert presence.signs.is_locked


async def test_sleep_waits_for_us_and_no_longer(logind: FakeLogind, presence: DesktopPresence) -> None:
    await presence.start()
    assert logind.inhibitors == 1
    presence.listen(lambda signs: presence.let_sleep() if signs.is_asleep else None)
    assert await logind.suspend() < 4
    assert logind.inhibitors == 0
    logind.resume()
    await until(lambda: logind.inhibitors == 1, "the next inhibitor")


async def test_a_logind_that_refuses_is_lived_with(logind: FakeLogind, presence: DesktopPresence) -> None:
    logind.refuses_inhibitors = True
    await presence.start()
    assert not presence.holds_sleep_up
    logind.lock()
    await until(lambda: presence.signs.is_locked)


async def test_a_logind_that_restarts_is_asked_anew(private_bus: PrivateBus, presence: DesktopPresence) -> None:
    first = FakeLogind(private_bus.address)
    await first.start()
    await presence.start()
    first.lock()
    await until(lambda: presence.signs.is_locked)
    await first.stop()
    await until(lambda: not presence.signs.is_locked)
    second = FakeLogind(private_bus.address)
    second.session["LockedHint"] = Variant("b", True)
    await second.start()
    await until(lambda: presence.signs.is_locked)
    await until(lambda: second.inhibitors == 1)
    await second.stop()


async def test_the_connection_is_shared_with_what_else_listens(private_bus: PrivateBus, logind: FakeLogind) -> None:
    heard: list[Wakeup] = []
    presence = make_presence(private_bus, beside=[Wakeups(heard.append)])
    await presence.start()
    await logind.suspend(0)
    logind.resume()
    await until(lambda: heard == [Wakeup.RESUMED])
    await presence.stop()


async def test_malformed_signals_say_nothing(logind: FakeLogind, presence: DesktopPresence) -> None:
    await presence.start()
    logind._signal(SESSION_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", "s", "x")
    logind._signal("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", "s", "yes")
    logind.change(LockedHint=Variant("s", "yes"), IdleHint=Variant("i", 3), IdleSinceHintMonotonic=Variant("s", "?"))
    logind.change(Active=Variant("b", False))
    await until(lambda: presence.signs == Signs(is_locked=True))


@pytest.mark.parametrize("name", ["org.freedesktop.ScreenSaver", "org.gnome.ScreenSaver", "org.xfce.ScreenSaver"])
async def test_a_screen_saver_that_is_active_counts_as_locked(
    private_bus: PrivateBus, presence: DesktopPresence, name: str
) -> None:
    saver = Service(private_bus.address, name, GetActive=("b", True))
    await saver.start()
    await presence.start()
    assert presence.signs == Signs(is_locked=True)
    saver.signal("ActiveChanged", "b", False)
    await until(lambda: presence.signs == Signs())
    saver.signal("ActiveChanged", "b", True)
    await until(lambda: presence.signs.is_locked)
    await saver.stop()
    await until(lambda: presence.signs == Signs())


async def test_nobody_else_can_lock_us_out(private_bus: PrivateBus, presence: DesktopPresence) -> None:
    saver = Service(private_bus.address, "org.freedesktop.ScreenSaver", GetActive=("b", False))
    await saver.start()
    await presence.start()
    impostor = Service(private_bus.address, "org.example.Impostor")
    await impostor.start()
    impostor._name, impostor._path = saver._name, saver._path
    impostor.signal("ActiveChanged", "b", True)
    impostor.signal("ActiveChanged", "b", True, receiver=presence._session.address if presence._session else None)
    saver.signal("ActiveChanged", "s", "true")
    told: list[Signs] = []
    presence.listen(told.append)
    saver.signal("ActiveChanged", "b", True)
    await until(lambda: presence.signs.is_locked)
    assert told == [Signs(), Signs(is_locked=True)]
    await impostor.stop()
    await saver.stop()


async def test_a_screen_saver_that_hangs_does_not_hold_up_the_rest(
    private_bus: PrivateBus, presence: DesktopPresence
) -> None:
    hanging = Service(private_bus.address, "org.freedesktop.ScreenSaver")
    saver = Service(private_bus.address, "org.mate.ScreenSaver", GetActive=("b", True))
    await hanging.start()
    await saver.start()
    await presence.start()
    assert presence.signs.is_locked
    await hanging.stop()
    await saver.stop()


async def test_gnomes_idle_monitor_counts_for_us(private_bus: PrivateBus, presence: DesktopPresence) -> None:
    answers = {"AddIdleWatch": ("u", 7), "AddUserActiveWatch": ("u", 8), "GetIdletime": ("t", 0)}
    monitor = Service(private_bus.address, "org.gnome.Mutter.IdleMonitor", **answers)
    await presence.start()
    await monitor.start()
    await until(lambda: ("AddIdleWatch", [600_000]) in monitor.calls, "the watch")
    await until(lambda: ("GetIdletime", []) in monitor.calls)
    monitor.signal("WatchFired", "u", 7)
    await until(lambda: presence.signs == Signs(is_idle=True))
    monitor.signal("WatchFired", "u", 8)
    await until(lambda: presence.signs == Signs())
    monitor.signal("WatchFired", "u", 7)
    await until(lambda: presence.signs.is_idle)
    await monitor.stop()
    await until(lambda: presence.signs == Signs())


async def test_a_user_who_is_idle_already_is_known_to_be(private_bus: PrivateBus, presence: DesktopPresence) -> None:
    answers = {"AddIdleWatch": ("u", 7), "AddUserActiveWatch": ("u", 8), "GetIdletime": ("t", 700_000)}
    monitor = Service(private_bus.address, "org.gnome.Mutter.IdleMonitor", **answers)
    await monitor.start()
    await presence.start()
    await until(lambda: presence.signs.is_idle)
    await monitor.stop()


async def test_a_machine_without_any_of_these_has_its_user_present() -> None:
    nowhere = "unix:path=/nowhere/bus"
    presence = DesktopPresence(away_after_s=600, monotonic=up_for_a_day, system_address=nowhere)
    assert not await presence.start()
    assert presence.signs == Signs()
    presence.let_sleep()
    await presence.stop()
