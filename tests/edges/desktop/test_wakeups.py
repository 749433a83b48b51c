"""Signals of logind, NetworkManager and systemd-networkd, sent by services of the same names on a private bus."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dbus_fast import Message, Variant
from dbus_fast.aio import MessageBus

from heliograph.desktop.shared_bus import SharedBus
from heliograph.desktop.wakeups import Wakeup, Wakeups
from heliograph.system.dbus import system_bus_address
from support.buses import PrivateBus
from support.waiting import until

LOGIND = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager")
NETWORK_MANAGER = ("/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager")
NETWORKD = ("/org/freedesktop/network1", "org.freedesktop.DBus.Properties")
TIMEDATE = ("/org/freedesktop/timedate1", "org.freedesktop.DBus.Properties")
NAMES = (
    "org.freedesktop.login1",
    "org.freedesktop.NetworkManager",
    "org.freedesktop.network1",
    "org.freedesktop.timedate1",
)


class System:
    """Somebody on the system bus: the services themselves, or not."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    @property
    def address(self) -> str:
        return str(self._bus.unique_name)

    def signal(
        self, source: tuple[str, str], member: str, signature: str, *body: Any, receiver: str | None = None
    ) -> None:
        message = Message.new_signal(*source, member, signature, list(body))
        message.destination = receiver
        self._bus.send(message)

    def resume(self) -> None:
        self.signal(LOGIND, "PrepareForSleep", "b", False)

    async def leave(self) -> None:
        with contextlib.suppress(EOFError):
            if self._bus.connected:
                self._bus.disconnect()
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


@pytest.fixture
def system_bus(private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> PrivateBus:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", private_bus.address)
    return private_bus


async def connected(bus: PrivateBus, *names: str) -> System:
    connection = await MessageBus(bus_address=bus.address).connect()
    for name in names:
        await connection.request_name(name)
    return System(connection)


@pytest.fixture
async def system(system_bus: PrivateBus) -> AsyncIterator[System]:
    system = await connected(system_bus, *NAMES)
    yield system
    await system.leave()


@pytest.fixture
def heard() -> list[Wakeup]:
    return []


@pytest.fixture
async def wakeups(system: System, heard: list[Wakeup]) -> AsyncIterator[SharedBus]:
    wakeups = SharedBus(system_bus_address(), [Wakeups(heard.append)])
    assert await wakeups.start()
    yield wakeups
    await wakeups.stop()


pytestmark = pytest.mark.usefixtures("wakeups")


async def test_the_end_of_sleep_is_told_but_not_its_beginning(system: System, heard: list[Wakeup]) -> None:
    system.signal(LOGIND, "PrepareForSleep", "b", True)
    system.resume()
    await until(lambda: heard == [Wakeup.RESUMED])


async def test_network_manager_is_heard_when_it_is_connected(system: System, heard: list[Wakeup]) -> None:
    for state in (10, 20, 40, 50, 60, 70):
        system.signal(NETWORK_MANAGER, "StateChanged", "u", state)
    system.resume()
    await until(lambda: heard == [Wakeup.NETWORK_UP, Wakeup.NETWORK_UP, Wakeup.RESUMED])


async def test_networkd_is_heard_when_it_is_online(system: System, heard: list[Wakeup]) -> None:
    for changed in ({"OnlineState": "offline"}, {"CarrierState": "carrier"}, {"OnlineState": "partial"}):
        properties = {name: Variant("s", value) for name, value in changed.items()}
        system.signal(NETWORKD, "PropertiesChanged", "sa{sv}as", "org.freedesktop.network1.Manager", properties, [])
    system.signal(NETWORKD, "PropertiesChanged", "sa{sv}as", "org.freedesktop.network1.Link", {}, [])
    system.resume()
    await until(lambda: heard == [Wakeup.NETWORK_UP, Wakeup.RESUMED])


async def test_a_change_of_the_time_zone_is_heard(system: System, heard: list[Wakeup]) -> None:
    zone = {"Timezone": Variant("s", "Asia/Tokyo")}
    system.signal(TIMEDATE, "PropertiesChanged", "sa{sv}as", "org.freedesktop.timedate1", zone, [])
    system.signal(TIMEDATE, "PropertiesChanged", "sa{sv}as", "org.example.other", {}, [])
    system.resume()
    await until(lambda: heard == [Wakeup.TIME_ZONE, Wakeup.RESUMED])


async def test_malformed_signals_say_nothing(system: System, heard: list[Wakeup]) -> None:
    system.signal(LOGIND, "PrepareForSleep", "s", "no")
    system.signal(NETWORK_MANAGER, "StateChanged", "uuu", 70, 20, 0)
    system.signal(NETWORK_MANAGER, "StateChanged", "")
    odd = {"OnlineState": Variant("as", ["online"])}
    system.signal(NETWORKD, "PropertiesChanged", "sa{sv}as", "org.freedesktop.network1.Manager", odd, [])
    system.resume()
    await until(lambda: heard == [Wakeup.RESUMED])


async def test_other_users_of_the_system_bus_cannot_wake_us(
    system_bus: PrivateBus, system: System, wakeups: SharedBus, heard: list[Wakeup]
) -> None:
    impostor = await connected(system_bus)
    for receiver in (None, wakeups.address):
        impostor.signal(NETWORK_MANAGER, "StateChanged", "u", 70, receiver=receiver)
    await impostor.leave()
    system.resume()
    await until(lambda: heard == [Wakeup.RESUMED])


async def test_a_system_bus_that_comes_back_is_heard_again(
    system_bus: PrivateBus, wakeups: SharedBus, heard: list[Wakeup]
) -> None:
    system_bus.stop()
    await until(lambda: wakeups.address is None)
    system_bus.start()
    await until(lambda: wakeups.address is not None)
    again = await connected(system_bus, *NAMES)
    again.resume()
    await until(lambda: heard == [Wakeup.RESUMED])
    await again.leave()


async def test_a_machine_without_a_system_bus_is_fine(monkeypatch: pytest.MonkeyPatch, heard: list[Wakeup]) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
    alone = SharedBus(system_bus_address(), [Wakeups(heard.append)])
    assert not await alone.start()
    await alone.stop()
    assert heard == []
