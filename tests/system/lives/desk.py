"""The machine of a life: the daemon, its screen and session, the relay and the phone, and what is seen of them."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fakes.login1 import FakeLogind
from fakes.notification_banners import Shown
from fakes.notification_profiles import GNOME, PLASMA, SWAYNC, Profile
from heliograph.accounts import state_folder
from heliograph.control.client import ask_inbox, ask_property, ask_status
from support.waiting import until
from system.daemon import Daemon
from system.evidence import PATIENCE_S
from system.faults.scene import Phone
from system.faults.screen import Screen, Telling, read_tokens
from system.lives.oracle import Delivery, Popup
from system.lives.people import User
from system.relay_process import RelayProcess

_THREAD = re.compile(r" › [^\n]*|in “[^”\n]*”")
"""What a popup says of the thread that a message is in: the beginning of the message at its root."""
_CRITICAL = 2
PROFILES: Sequence[Profile] = tuple(
    replace(each, capabilities=tuple({*each.capabilities, "sound"}), most=0) for each in (PLASMA, GNOME, SWAYNC)
)
"""All of them play sounds, so that what is heard is known from what they are told, and keep any number of popups."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon's configuration says. With so many rooms each has a popup that says what it shows."""

    max_rooms: int = 50
    has_quiet_hours: bool = False
    loud_rooms: frozenset[str] = frozenset()
    """Ids of rooms that ring in quiet, too."""


class Popups(Screen):
    """A screen whose popups have buttons."""

    def press(self, popup: Shown, label: str) -> bool:
        """Whether it has such a button; then it is clicked."""
        labels = popup.actions[1::2]
        if label not in labels:
            return False
        self.act(popup.id, popup.actions[2 * labels.index(label)])
        return True


@dataclass
class Desk:
    """The programs, and what the test did with them."""

    screen: Popups
    logind: FakeLogind
    daemon: Daemon
    phone: Phone
    relay: RelayProcess | None
    is_running: bool = False
    is_paused: bool = False
    is_paused_everywhere: bool = False
    settings: Settings = field(default_factory=Settings)
    is_locked: bool = False
    has_relay_restarted: bool = False
    has_relay_left: bool = False
    """It puts pushers back, and the phone rings beside the desktop."""
    has_server_restarted: bool = False
    kills_in_talk: int = 0
    """Each may repeat one notification."""
    killed_at: list[int] = field(default_factory=list)
    """How many notifications the screen had been told at each kill in talk."""
    logs: list[str] = field(default_factory=list)
    """Of the daemon's lives that are over."""
    ends: list[str] = field(default_factory=list)
    """How it ended by itself."""

    async def start(self, accounts: int) -> None:
        await self.daemon.start(until_connected=False)
        self.is_running = True
        await until(lambda: self._is_connected(accounts), "the connection to the homeserver", PATIENCE_S)

    def _is_connected(self, accounts: int) -> bool:
        if self.daemon.exit_code is not None:
            raise AssertionError(f"the daemon ended with {self.daemon.exit_code}: {self.daemon.log[-2000:]}")
        return self.daemon.log.count("is connected to") >= accounts

    async def wait_for_keys(self, users: Sequence[User]) -> None:
        """Returns when Heliograph's devices of all of them have published their keys, in this life or before."""
        told = [f"Published keys of {user.account.device_id}:" for user in users if user.account is not None]
        await until(lambda: all(each in self.log for each in told), "the keys", PATIENCE_S)

    async def wait_for_pushers(self) -> None:
        """Returns when all accounts are known to the relay as direct."""

        async def are_registered() -> bool:
            answer = await ask_status()
            accounts = answer["accounts"] if answer else []
            return bool(accounts) and all(each["pusher"]["registered"] is True for each in accounts)

        await until(are_registered, "the direct pushers", PATIENCE_S)

    async def stop(self) -> None:
        code = await self.daemon.stop()
        if code != 0:
            self.ends.append(f"stopped in order, the daemon ended with {code}: {self.daemon.log[-1000:]}")
        self._note_end()

    async def kill(self) -> None:
        await self.daemon.kill()
        self._note_end()

    def _note_end(self) -> None:
        self.is_running = False
        self.logs.append(self.daemon.log)

    @property
    def log(self) -> str:
        """Of all the daemon's lives."""
        return "".join([*self.logs, self.daemon.log if self.is_running else ""])

    @property
    def is_quiet(self) -> bool:
        """Nothing new pops up."""
        return self.is_paused or self.settings.has_quiet_hours

    @property
    def is_quiet_here_alone(self) -> bool:
        """Nothing new pops up, and other devices ring instead."""
        return self.is_quiet and not (self.is_paused and self.is_paused_everywhere)

    # What is seen

    def is_anything_held_back(self, users: Sequence[User]) -> bool:
        return any(each.state == "pending" for user in users for each in self.deliveries(user))

    def deliveries(self, user: User) -> list[Delivery]:
        rows = _rows(user, "SELECT event_id, room_id, state, popup_key FROM deliveries ORDER BY position")
        return [Delivery(*row) for row in rows]

    def has_judged(self, user: User, event_id: str) -> bool:
        """Whether this event was seen, and so all that came before."""
        return bool(_rows(user, "SELECT 1 FROM judged WHERE event_id = ?", event_id))

    def room_popups(self, user: User) -> list[tuple[str, Shown]]:
        """The rooms and summaries that are on screen, by their keys in the ledger."""
        rows = _rows(user, "SELECT key, popup_id FROM popups ORDER BY key")
        return [(key, self.screen.on_screen[popup_id]) for key, popup_id in rows if popup_id in self.screen.on_screen]

    def tellings(self) -> tuple[Telling, ...]:
        """What the screen was told so far, without the names of threads."""
        return tuple(
            replace(each, title=_THREAD.sub("", each.title), body=_THREAD.sub("", each.body))
            for each in self.screen.tellings
        )

    def orphans(self) -> tuple[Mapping[int, int], ...]:
        """What the notifications quoted that were the last before a kill in talk, or were under way then."""
        told = self.tellings()
        return tuple(each.tokens for count in self.killed_at for each in told[max(count - 1, 0) : count + 1])

    def popups(self, users: Sequence[User]) -> tuple[Popup, ...]:
        keys = {
            (user.user_id, popup_id): str(key)
            for user in users
            for key, popup_id in _rows(user, "SELECT key, popup_id FROM popups")
        }
        found = []
        for each in self.screen.on_screen.values():
            account = str(each.hints.get("x-kde-origin-name", ""))
            tokens = read_quotes(each.summary, each.body)
            is_urgent = each.hints.get("urgency") == _CRITICAL
            found.append(Popup(keys.get((account, each.id), ""), each.summary, each.body, account, tokens, is_urgent))
        return tuple(found)

    async def inbox(self) -> dict[str, dict[str, tuple[int, list[str]]]]:
        """By account and room: how much is unread, and ids of the newest."""
        told = await ask_inbox() or {"rooms": []}
        found: dict[str, dict[str, tuple[int, list[str]]]] = {}
        for room in told["rooms"]:
            ids = [each["event_id"] for each in room["messages"]]
            found.setdefault(room["account"], {})[room["room_id"]] = (room["unread"], ids)
        return found

    async def senders(self) -> dict[str, str]:
        """Who wrote what is in the inbox, by event id."""
        told = await ask_inbox() or {"rooms": []}
        return {each["event_id"]: each["sender_name"] for room in told["rooms"] for each in room["messages"]}

    async def bar(self) -> tuple[int, int]:
        """How much is unread, and how much of it highlights."""
        return int(await ask_property("Unread")), int(await ask_property("Highlights"))


def read_quotes(title: str, body: str) -> dict[int, int]:
    """The messages that a popup quotes, and in which version."""
    return read_tokens(_THREAD.sub("", f"{title}\n{body}"))


def _rows(user: User, query: str, *values: object) -> list[Any]:
    path = state_folder(user.user_id) / "ledger.db"
    if not path.exists():
        return []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        rows = db.execute(query, values).fetchall()
    db.close()
    return rows


@contextlib.asynccontextmanager
async def set_up(bus_address: str, profile: Profile, relay: RelayProcess | None, daemon: Daemon) -> AsyncIterator[Desk]:
    """Nothing runs yet but the session."""
    async with contextlib.AsyncExitStack() as stack:
        phone = Phone()
        await stack.enter_async_context(phone)
        screen, logind = Popups(bus_address, profile), FakeLogind(bus_address)
        await screen.start()
        stack.push_async_callback(screen.stop)
        await logind.start()
        stack.push_async_callback(logind.stop)
        desk = Desk(screen, logind, daemon, phone, relay)
        try:
            yield desk
        finally:
            if desk.is_running and daemon.exit_code is None:
                await daemon.kill()
