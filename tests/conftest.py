"""What tests stand on: an environment of their own, a private bus, a real homeserver, a real notification server."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import inspect
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.dunst import DunstSession
from support.guarded_synapse import GuardedSynapse
from support.js_client import JsClient, JsProcess
from support.mako import MakoSession
from support.xfce import XfceSession

# A slow machine is no failure: what a test may take, pytest-timeout says.
settings.register_profile("heliograph", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("heliograph")

pytest_plugins = ["support.log_guard_plugin"]

_REAL_PARTS = {"synapse", "new_user", "dunst", "mako", "xfce", "js_client"}
_FOREIGN = (
    *("DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"),
    *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "INVOCATION_ID"),
    *("XDG_CURRENT_DESKTOP", "XDG_SESSION_ID", "XDG_SESSION_TYPE", "XDG_ACTIVATION_TOKEN", "BROWSER", "JOURNAL_STREAM"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out tests that need a homeserver or a display")
    parser.addoption("--long", action="store_true", help="the whole size of tests that are small otherwise")
    parser.addoption("--seeds", type=int, help="so many runs of random faults, instead of 20, or lives, instead of 12")
    parser.addoption("--seed", type=int, action="append", default=[], help="this run or life; repeatable")
    parser.addoption("--mode", action="append", default=[], help="lives in this mode, or in all; repeatable")
    parser.addoption("--keep", default="", help="of a life's steps only these, by their places: 0,3,4")
    parser.addoption("--record", type=Path, help="what came of each life goes to this file, as a line of JSON")
    parser.addoption("--no-shorten", action="store_true", help="leave lives that fail as long as they are")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real: needs a homeserver or a display; --fast leaves it out")
    config.addinivalue_line("markers", "virtual_time: waiting takes no time, see support/virtual_time.py")
    config.addinivalue_line("markers", "root: boots systemd, or looks where only root may; left out for others")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if _is_left_out(item, is_fast=config.getoption("fast"))]
    items[:] = [item for item in items if item not in set(left_out)]
    config.hook.pytest_deselected(items=left_out)


def _is_left_out(item: pytest.Item, *, is_fast: bool) -> bool:
    if item.get_closest_marker("root") is not None and os.geteuid() != 0:
        return True
    return is_fast and _needs_real_parts(item)


def _needs_real_parts(item: pytest.Item) -> bool:
    is_system = Path(__file__).parent / "system" in item.path.parents
    fixtures = set(getattr(item, "fixturenames", ()))
    return is_system or item.get_closest_marker("real") is not None or bool(fixtures & _REAL_PARTS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips itself has failed: whoever runs the tests is told what to install beforehand."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    # What was logged goes from worker to worker as UTF-8, and some tests log what is not.
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
    return report


@pytest.fixture
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether the test may take minutes."""
    return bool(request.config.getoption("long"))


@dataclass(frozen=True, slots=True)
class Home:
    """An empty home folder; the environment of the test already names it."""

    path: Path
    config: Path
    state: Path
    cache: Path
    data: Path
    runtime: Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Keeps every test out of the home folder, session bus and display of whoever runs it."""
    home = tmp_path / "home"
    places = Home(home, home / ".config", home / ".local/state", home / ".cache", home / ".local/share", home / "run")
    for place in (places.config, places.state, places.cache, places.data, places.runtime):
        place.mkdir(parents=True)
        place.chmod(0o700)
    for name in _FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(places.config))
    monkeypatch.setenv("XDG_STATE_HOME", str(places.state))
    monkeypatch.setenv("XDG_CACHE_HOME", str(places.cache))
    monkeypatch.setenv("XDG_DATA_HOME", str(places.data))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(places.runtime))
    return places


@pytest.fixture
def set_time_zone() -> Iterator[Callable[[str], None]]:
    """Where this process takes its machine to be until the test ends, as TZ has it."""
    with pytest.MonkeyPatch.context() as patch:

        def set_zone(name: str) -> None:
            patch.setenv("TZ", name)
            time.tzset()

        yield set_zone
    time.tzset()


@functools.cache
def _load_pycryptodome() -> None:
    """It looks for its C modules on the disk when each is first used, which is not what is looked for here."""
    key = importlib.import_module("Crypto.PublicKey.ECC").construct(curve="ed25519", seed=bytes(32))
    importlib.import_module("Crypto.Signature.eddsa").new(key, "rfc8032").sign(b"")
    importlib.import_module("Crypto.Cipher.AES")


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Our code in a running event loop may not read files, sleep or wait for a lock; threads may."""
    if not inspect.iscoroutinefunction(getattr(request, "function", None)):
        yield
        return
    _load_pycryptodome()
    with blockbuster_ctx("heliograph", excluded_modules=["heliograph.demo"]):
        yield


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """What a daemon or a relay froze in this process (`gc.freeze`) is the collector's again: to `gc.get_referrers`, by
    which Hypothesis asks whether its source of randomness is held, frozen objects refer to nothing."""
    yield
    gc.unfreeze()


@pytest.fixture
def private_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    """A session bus for this test alone, named in DBUS_SESSION_BUS_ADDRESS."""
    with PrivateBus() as bus:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus.address)
        yield bus


@pytest.fixture
def dunst(private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> Iterator[DunstSession]:
    """dunst on the test's private bus, showing on a virtual display."""
    with DunstSession(private_bus) as session:
        monkeypatch.setenv("DISPLAY", session.display)
        yield session


@pytest.fixture
def mako(private_bus: PrivateBus) -> Iterator[MakoSession]:
    """mako on the test's private bus, in a sway of its own."""
    with MakoSession(private_bus) as session:
        yield session


@pytest.fixture
def xfce(private_bus: PrivateBus) -> Iterator[XfceSession]:
    """xfce4-notifyd on the test's private bus, showing on a virtual display."""
    with XfceSession(private_bus) as session:
        yield session


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def synapse() -> AsyncIterator[ThrowawaySynapse]:
    """One homeserver for the whole run. A test that restarts or kills it starts its own instead."""
    async with GuardedSynapse() as server:
        yield server


class NewUser(Protocol):
    async def __call__(self, name: str = "user", *, admin: bool = False) -> DemoUser: ...


@pytest.fixture
def new_user(synapse: ThrowawaySynapse) -> NewUser:
    """Registers users nobody else has, on the shared homeserver."""

    async def register(name: str = "user", *, admin: bool = False) -> DemoUser:
        return await synapse.register(f"{name}-{secrets.token_hex(4)}", admin=admin)

    return register


class OpenJsClient(Protocol):
    async def __call__(self, user: DemoUser, *, has_threads: bool = False) -> JsClient: ...


@pytest.fixture(scope="session")
def js_process() -> Iterator[JsProcess]:
    """One process of node for the whole run."""
    with JsProcess() as process:
        yield process


@pytest.fixture
async def js_client(js_process: JsProcess) -> AsyncIterator[OpenJsClient]:
    """Signs a user in on a new device of matrix-js-sdk, which ends with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_client(user: DemoUser, *, has_threads: bool = False) -> JsClient:
            return await stack.enter_async_context(JsClient(user, js_process, has_threads=has_threads))

        yield open_client
