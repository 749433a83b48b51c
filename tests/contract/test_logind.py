"""What logind answers, refuses and tells, call by call: systemd's own, and the fake.

systemd's own runs in a user namespace with a /run of its own; what it asks of PID 1 the test answers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from dbus_fast import Variant

from fakes.login1 import DELAY_MAX_S, MANAGER, NAME, PATH, PROPERTIES, SESSION, USER, FakeLogind
from support.bus_caller import BusCaller, Outcome, Refusal
from support.buses import PrivateBus
from support.real_logind import RealLogind
from support.waiting import until

UNKNOWN_PATH = f"{PATH}/session/unknown"
FOREIGN_UID = 4711
"""Of nobody who is logged in."""


@dataclass
class Stage:
    """A logind with one graphical session, and a program outside of it."""

    caller: BusCaller
    lock: Callable[[], object]
    unlock: Callable[[], object]
    idle: Callable[[], object]
    touch: Callable[[], object]
    sleep: Callable[[], object]
    """The machine is told to."""
    wake: Callable[[], object]
    session_id: str = ""
    session_path: str = ""
    user_path: str = ""

    async def manager(self, member: str, signature: str = "", *body: Any) -> Outcome:
        return await self.caller.call(member, signature, *body)

    async def ask(self, interface: str, name: str, path: str | None = None) -> Any:
        """Its value, or how the question was refused."""
        outcome = await self.caller.call("Get", "ss", interface, name, path=path, interface=PROPERTIES)
        return outcome if isinstance(outcome, Refusal) else outcome[0].value

    async def inhibit(self, what: str = "sleep", mode: str = "delay", who: str = "program") -> int | Refusal:
        """What holds sleep up until it is closed."""
        outcome = await self.manager("Inhibit", "ssss", what, who, "because", mode)
        if isinstance(outcome, Refusal):
            return outcome
        assert outcome == [0]
        (file,) = self.caller.files
        return file

    def told(self, interface: str) -> list[Any]:
        """What PropertiesChanged told of the objects of this interface so far, and of no other."""
        return [
            body[1:] for member, body in self.caller.heard if member == "PropertiesChanged" and body[0] == interface
        ]

    @property
    def sleeps(self) -> list[bool]:
        """What PrepareForSleep told so far."""
        return [body[0] for member, body in self.caller.heard if member == "PrepareForSleep"]


@pytest.fixture
async def fake_stage(private_bus: PrivateBus) -> AsyncIterator[Stage]:
    logind = FakeLogind(private_bus.address)
    await logind.start()
    stage = Stage(
        caller_on(private_bus),
        *(logind.lock, logind.unlock, logind.idle, logind.touch),
        sleep=logind.announce_sleep,
        wake=logind.resume,
    )
    yield await begun(stage)
    await stage.caller.stop()
    await logind.stop()


@pytest.fixture
async def real_stage(private_bus: PrivateBus) -> AsyncIterator[Stage]:
    logind = RealLogind(private_bus.address)
    await logind.start()
    stage = Stage(
        caller_on(private_bus),
        *(logind.lock, logind.unlock, logind.idle, logind.touch),
        sleep=logind.suspend,
        wake=logind.resume,
    )
    yield await begun(stage)
    await stage.caller.stop()
    await logind.stop()


def caller_on(bus: PrivateBus) -> BusCaller:
    return BusCaller(bus.address, NAME, PATH, MANAGER, PROPERTIES)


async def begun(stage: Stage) -> Stage:
    """The program is on the bus, and knows where the session is."""
    await stage.caller.start()
    user = await stage.manager("GetUser", "u", os.getuid())
    assert isinstance(user, list)
    stage.user_path = user[0]
    stage.session_id, stage.session_path = await stage.ask(USER, "Display", stage.user_path)
    return stage


@pytest.fixture(params=os.environ.get("LOGINDS", "fake").split())
def stage(request: pytest.FixtureRequest) -> Stage:
    stage = request.getfixturevalue(f"{request.param}_stage")
    assert isinstance(stage, Stage)
    return stage


def login1(name: str) -> Refusal:
    return Refusal(f"{NAME}.{name}")


def dbus(name: str) -> Refusal:
    return Refusal(f"org.freedesktop.DBus.Error.{name}")


INVALID = dbus("InvalidArgs")
INHIBITIONS: dict[tuple[str, str], Refusal | None] = {
    ("sleep", "delay"): None,
    ("sleep", "block"): None,
    ("sleep", "nonsense"): INVALID,
    ("sleep", ""): INVALID,
    ("nonsense", "delay"): INVALID,
    ("", "delay"): INVALID,
    ("SLEEP", "delay"): INVALID,
    ("sleep ", "delay"): INVALID,
    ("sleep:", "delay"): INVALID,
    ("sleep:sleep", "delay"): None,
    ("sleep:shutdown", "delay"): None,
    ("sleep:nonsense", "delay"): INVALID,
    ("sleep:idle", "delay"): INVALID,
    ("shutdown", "delay"): None,
    ("idle", "delay"): INVALID,
    ("idle", "block"): None,
    ("handle-lid-switch", "delay"): INVALID,
    ("handle-lid-switch", "block"): None,
}
"""What and how, and what becomes of it."""


async def test_what_may_be_held_up_and_how(stage: Stage) -> None:
    outcomes: dict[tuple[str, str], Refusal | None] = {}
    for what, mode in INHIBITIONS:
        inhibitor = await stage.inhibit(what, mode)
        outcomes[what, mode] = inhibitor if isinstance(inhibitor, Refusal) else None
        if isinstance(inhibitor, int):
            os.close(inhibitor)
    assert outcomes == INHIBITIONS


async def test_sleep_is_held_up_for_as_long_as_the_file_is_open(stage: Stage) -> None:
    async def delayed() -> Any:
        return await stage.ask(MANAGER, "DelayInhibited")

    async def has_ended() -> bool:
        return bool(await delayed() == "")

    assert await delayed() == ""
    inhibitor = await stage.inhibit(who="")
    assert isinstance(inhibitor, int)
    assert await delayed() == "sleep"
    os.close(inhibitor)
    await until(has_ended, "the end of the inhibition")
    assert await stage.ask(MANAGER, "InhibitDelayMaxUSec") == DELAY_MAX_S * 1_000_000


async def test_sleep_is_announced_and_while_it_lasts_nothing_can_hold_it_up(stage: Stage) -> None:
    inhibitor = await stage.inhibit()
    assert isinstance(inhibitor, int)
    assert await stage.ask(MANAGER, "PreparingForSleep") is False
    stage.sleep()
    await until(lambda: stage.sleeps == [True], "the announcement")
    assert await stage.ask(MANAGER, "PreparingForSleep") is True
    assert await stage.inhibit() == login1("OperationInProgress")
    os.close(inhibitor)
    stage.wake()
    await until(lambda: stage.sleeps == [True, False], "waking")
    assert await stage.ask(MANAGER, "PreparingForSleep") is False
    again = await stage.inhibit()
    assert isinstance(again, int)
    os.close(again)


async def test_a_lock_is_told_when_it_changes_and_only_then(stage: Stage) -> None:
    stage.lock()
    stage.lock()
    stage.unlock()
    await until(lambda: len(stage.told(SESSION)) >= 2, "the changes")
    assert await stage.ask(SESSION, "LockedHint", stage.session_path) is False
    assert stage.told(SESSION) == [[{"LockedHint": Variant("b", is_locked)}, []] for is_locked in (True, False)]


async def test_idleness_is_told_together_with_since_when(stage: Stage) -> None:
    stage.idle()
    await until(lambda: stage.told(SESSION), "idleness")
    stage.touch()
    await until(lambda: len(stage.told(SESSION)) >= 2, "the end of idleness")
    (began, _), (ended, _) = stage.told(SESSION)
    assert began.keys() == ended.keys() == {"IdleHint", "IdleSinceHint", "IdleSinceHintMonotonic"}
    assert began["IdleHint"].value
    assert not ended["IdleHint"].value
    assert ended["IdleSinceHintMonotonic"].signature == "t"
    assert 0 < began["IdleSinceHintMonotonic"].value < ended["IdleSinceHintMonotonic"].value
    assert await stage.ask(SESSION, "IdleSinceHint", stage.session_path) == ended["IdleSinceHint"].value


async def test_sessions_and_users_are_found_or_refused(stage: Stage) -> None:
    finds: dict[tuple[str, str, Any], Outcome] = {
        ("GetSession", "s", stage.session_id): [stage.session_path],
        ("GetSession", "s", "unknown"): login1("NoSuchSession"),
        ("GetSession", "s", "../x"): login1("NoSuchSession"),
        ("GetSession", "s", ""): login1("NoSessionForPID"),
        ("GetSession", "s", "self"): login1("NoSessionForPID"),
        ("GetSession", "u", 2): INVALID,
        ("GetUser", "u", os.getuid()): [stage.user_path],
        ("GetUser", "u", FOREIGN_UID): login1("NoSuchUser"),
        ("GetUser", "s", "root"): INVALID,
        ("Inhibit", "s", "sleep"): INVALID,
        ("Nonsense", "s", ""): dbus("UnknownMethod"),
    }
    assert {find: await stage.manager(*find) for find in finds} == finds


async def test_properties_are_told_or_refused(stage: Stage) -> None:
    async def ask(path: str, member: str, signature: str, *body: Any) -> Outcome:
        return await stage.caller.call(member, signature, *body, path=path, interface=PROPERTIES)

    own, true = stage.session_path, Variant("b", True)
    told = await ask(own, "GetAll", "s", SESSION)
    assert isinstance(told, list)
    types = {"LockedHint": "b", "Active": "b", "IdleHint": "b", "IdleSinceHint": "t", "IdleSinceHintMonotonic": "t"}
    assert {name: told[0][name].signature for name in types} == types
    assert await ask(own, "GetAll", "s", "org.nonsense") == dbus("UnknownInterface")
    assert await ask(UNKNOWN_PATH, "GetAll", "s", SESSION) == dbus("UnknownObject")
    assert await ask(own, "Get", "ss", SESSION, "Nonsense") == dbus("UnknownProperty")
    assert await ask(f"{PATH}/user/_{FOREIGN_UID}", "Get", "ss", USER, "Display") == dbus("UnknownObject")
    assert await ask(own, "Set", "ssv", SESSION, "LockedHint", true) == dbus("PropertyReadOnly")
    assert await ask(own, "Get", "s", SESSION) == INVALID


def test_systemds_own_logind_passes_the_same_suite() -> None:
    """In a namespace, where we are root: it obeys nobody else."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "real", __file__]
    environ = {**os.environ, "LOGINDS": "real"}
    done = subprocess.run([*namespace, *suite], env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout
