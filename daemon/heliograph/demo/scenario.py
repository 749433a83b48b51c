"""Plays the demonstration: three things happen to an account, and the real daemon lets them ring."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from heliograph.accounts import Account, device_name, save_account, state_folder
from heliograph.app.daemon import run_daemon
from heliograph.config.settings import Config
from heliograph.core.connection import Connection
from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater
from heliograph.core.notification import DesktopSignal, Notification, Popup, ServerChanged
from heliograph.core.popups.profile import ServerProfile
from heliograph.core.status import DaemonStatus
from heliograph.core.value_type import value_type
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.desktop.choice import open_desktop
from heliograph.desktop.terminal import TerminalDesktop
from heliograph.errors import EXIT_FAILED, EXIT_OK, UserError
from heliograph.ports.desktop import Desktop
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret
from heliograph.system.tasks import start

ARRIVAL_S = 15.0
CONNECT_S = 30.0
POLL_S = 0.05
PAUSE_S = 1.0
"""Between two notifications, so that people can read one before the next."""
MAX_LINE = 2000


async def run_demo(*, stay: bool = False, stream: TextIO | None = None) -> int:
    """Runs the demonstration, with `stay` until interrupted. Returns the exit code, 0 if everything arrived.

    Raises UserError if Synapse is not installed or does not start.
    """
    stream = stream or sys.stdout

    def say(sentence: str = "") -> None:
        print(sentence, file=stream, flush=True)

    async with _folders(), ThrowawaySynapse(progress=say) as synapse:
        people = await _meet(synapse)
        say(f"{people.me.user_id} has signed in with Heliograph; Alice and Bob are on the same server.")
        async with _desktop(stream) as desktop:
            watched = WatchedDesktop(desktop)
            say(f"Notifications go to {_where(desktop)}.")
            say()
            async with _daemon(people.me, watched):
                arrivals = [await _happen(watched, what, act) for what, act in _happenings(people)]
                _sum_up(say, arrivals)
                if stay:
                    await _stay(say, people)
    return EXIT_OK if all(arrival.ms is not None for arrival in arrivals) else EXIT_FAILED


@value_type
class People:
    """The users who take part, and the rooms in which they meet."""

    me: DemoUser
    alice: DemoUser
    bob: DemoUser
    direct: str
    group: str


@value_type
class Arrival:
    """How long an event took from before it was sent until its notification was on screen; None: it never came."""

    what: str
    ms: float | None


class WatchedDesktop:
    """A `ports.desktop.Desktop` that shows everything on another one, and remembers when."""

    def __init__(self, desktop: Desktop) -> None:
        self._desktop = desktop
        self.name = desktop.name
        self.shown: list[tuple[float, Notification]] = []
        self._more = asyncio.Event()

    async def shown_more_than(self, count: int) -> None:
        """Waits until more than `count` notifications have been shown."""
        while len(self.shown) <= count:
            self._more.clear()
            await self._more.wait()

    @property
    def server_name(self) -> str | None:
        return self._desktop.server_name

    @property
    def why_inhibited(self) -> str:
        return self._desktop.why_inhibited

    @property
    def is_inhibited(self) -> bool:
        return self._desktop.is_inhibited

    @property
    def profile(self) -> ServerProfile:
        return self._desktop.profile

    def listen(self, listener: Callable[[DesktopSignal], None]) -> None:
        self._desktop.listen(listener)

    async def show(
        self, notification: Notification, replaces: Popup | None
    ) -> Done[Popup] | RetryLater | Declined | NeedsUser:
        outcome = await self._desktop.show(notification, replaces)
        if isinstance(outcome, Done):
            self.shown.append((time.perf_counter(), notification))
            self._more.set()
        return outcome

    async def close(self, popup: Popup) -> Done[None] | RetryLater | Declined | NeedsUser:
        return await self._desktop.close(popup)

    async def shut(self) -> None:
        await self._desktop.shut()


# Before


@contextlib.asynccontextmanager
async def _folders() -> AsyncIterator[None]:
    """Gives the daemon temporary folders for state, configuration and cache, which are removed after the block."""
    with tempfile.TemporaryDirectory(prefix="heliograph-demo-", ignore_cleanup_errors=True) as root, _environment(root):
        yield


@contextlib.contextmanager
def _environment(root: str) -> Iterator[None]:
    names = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    before = {name: os.environ.get(name) for name in names}
    for name in names:
        folder = Path(root, name.lower())
        folder.mkdir(mode=0o700)
        os.environ[name] = str(folder)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


async def _meet(synapse: ThrowawaySynapse) -> People:
    me = await synapse.register("you")
    alice, bob = await synapse.register("alice"), await synapse.register("bob")
    # Before there are rooms, so that the members' events have the names.
    for person, name in ((me, "You"), (alice, "Alice"), (bob, "Bob")):
        await person.set_display_name(name)
    direct = await alice.create_room(invite=[me], is_direct=True, preset="trusted_private_chat")
    group = await bob.create_room("Lunch", invite=[me, alice])
    for room, guest in ((direct, me), (group, me), (group, alice)):
        await guest.join(room)
    # A device of Heliograph's own: the first one stays for whoever signs in with another client.
    device = await me.login_again(device_name())
    return People(device, alice, bob, direct, group)


@contextlib.asynccontextmanager
async def _desktop(stream: TextIO) -> AsyncIterator[Desktop]:
    """The desktop's notification server, or the terminal if there is none."""
    try:
        desktop = await open_desktop("freedesktop")
    except UserError:
        desktop = TerminalDesktop(stream)
    # A session bus may be there without anything that shows notifications.
    if not await _has_server(desktop):
        await desktop.shut()
        desktop = TerminalDesktop(stream)
    try:
        yield desktop
    finally:
        await desktop.shut()


async def _has_server(desktop: Desktop) -> bool:
    servers: list[str | None] = []
    # `listen` calls at once, with the server that runs now.
    desktop.listen(lambda signal: servers.append(signal.server) if isinstance(signal, ServerChanged) else None)
    return bool(servers and servers[-1] is not None)


def _where(desktop: Desktop) -> str:
    if isinstance(desktop, TerminalDesktop):
        return "this terminal, since no notification server runs here"
    return "your desktop's notification server"


@contextlib.asynccontextmanager
async def _daemon(me: DemoUser, desktop: Desktop) -> AsyncIterator[None]:
    """Runs the daemon as `heliograph run` does, for the length of the block, at whose start it is connected."""
    account = Account(
        user_id=me.user_id, device_id=me.device_id, homeserver=me.base_url, secrets="file", pushkey="demo"
    )
    state_folder(me.user_id).mkdir(mode=0o700, parents=True)
    save_account(account)
    secret = Secret(access_token=me.access_token, pickle_key="")
    await open_secrets("file").save(me.user_id, secret.encode())
    started: list[Callable[[], DaemonStatus]] = []
    stop = asyncio.Event()
    running = run_daemon(Config(), [account], desktop=desktop, stop=stop, on_ready=started.append)
    daemon = start(running, name="daemon")
    try:
        async with asyncio.timeout(CONNECT_S):
            while not (started and started[0]().accounts[0].connection.state is Connection.CONNECTED):
                # Not `sleep`: a daemon that ends is noticed at once.
                await asyncio.wait({daemon}, timeout=POLL_S)
                if daemon.done():
                    raise UserError("The daemon ended at once.", f"It says: {daemon.exception() or daemon.result()}")
        yield
    finally:
        stop.set()
        await asyncio.gather(daemon, return_exceptions=True)


# What happens


Act = Callable[[], Awaitable[object]]


def _happenings(people: People) -> list[tuple[str, Act]]:
    me, alice, bob = people.me, people.alice, people.bob
    return [
        ("a message", lambda: alice.send_text(people.direct, "Hello! Your client is closed, and yet here I am.")),
        ("a mention in a group", lambda: bob.send_text(people.group, "You: noodles today?", mentions=[me])),
        ("an invite", lambda: alice.create_room("Weekend hike", invite=[me])),
    ]


async def _happen(desktop: WatchedDesktop, what: str, act: Act) -> Arrival:
    before = len(desktop.shown)
    began = time.perf_counter()
    await act()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ARRIVAL_S):
            await desktop.shown_more_than(before)
    if len(desktop.shown) == before:
        return Arrival(what, None)
    await asyncio.sleep(PAUSE_S)
    return Arrival(what, (desktop.shown[before][0] - began) * 1000)


def _sum_up(say: Callable[[str], None], arrivals: Sequence[Arrival]) -> None:
    say("")
    arrived = [arrival for arrival in arrivals if arrival.ms is not None]
    for arrival in arrivals:
        how = "did not arrive" if arrival.ms is None else f"on screen {arrival.ms:.0f} ms after it was sent"
        say(f"  {arrival.what}: {how}")
    say(f"{len(arrived)} of {len(arrivals)} arrived; each was on disk before the homeserver was told so.")


async def _stay(say: Callable[[str], None], people: People) -> None:
    """Sends each line that is typed as a message from Alice, until Ctrl-C or the end of standard input."""
    say("")
    say("Write a line and press Enter: Alice sends it to you. Ctrl-C ends the demonstration.")
    say(f"Or sign in with any Matrix client at {people.alice.base_url}:")
    for person in (people.me, people.alice, people.bob):
        say(f"  {person.user_id}  password {person.password}")
    lines = asyncio.StreamReader(limit=MAX_LINE)
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    except ValueError:
        # Standard input is a file or /dev/null: nothing will be typed.
        await asyncio.Event().wait()
    while text := await _read_line(lines):
        if text.strip():
            await people.alice.send_text(people.direct, text.strip())


async def _read_line(lines: asyncio.StreamReader) -> str:
    """The next line, with its end; empty at the end of the input."""
    try:
        return (await lines.readline()).decode(errors="replace")
    except ValueError:
        return "(a line too long to send)\n"
