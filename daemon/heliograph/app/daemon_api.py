"""Answers what the user asks of the running daemon, over all accounts, and tells whenever an answer changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from heliograph.core.connection import ConnectionState
from heliograph.core.ids import EventId, RoomId, is_event_id, is_room_id
from heliograph.core.popups.actions import ActionKind, ActionRequest, action_requests
from heliograph.core.record import Delivery
from heliograph.core.status import AccountStatus, DaemonStatus
from heliograph.core.summary.summary import Summary, summarize
from heliograph.core.summary.unread import MOST_MESSAGES, UnreadRoom, inbox_as_json
from heliograph.core.sync.invites import is_invite_id
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type
from heliograph.errors import HeliographError, StorageError, UserError
from heliograph.loops.delivery.loop import DeliveryLoop
from heliograph.loops.quiet import QuietLoop
from heliograph.ports.desktop import Desktop, Opener
from heliograph.ports.ledger import Ledger
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

CHANGES_S = 0.1
"""How long a change waits for others, which are told together with it: a message is committed, and shown soon after."""


@value_type
class AccountHandle:
    """What is needed of one account."""

    user_id: str
    connection: Callable[[], ConnectionState]
    ledger: Ledger
    delivery: DeliveryLoop
    do: Callable[[ActionRequest], Awaitable[None]]
    """What the user wants of a room. Raises UserError if it was not done."""


def _answer_invite(room_id: str) -> str:
    # Rooms are named by strangers, and this line is for a shell.
    room = shlex.quote(clean_line(room_id, 255))
    return f"Accept or decline it: heliograph inbox accept {room}, or decline {room}"


class DaemonApi:
    """`control.interface.Answers`. `status` gives what is known now of the daemon and each account, but for what only
    ledgers know."""

    def __init__(
        self,
        status: Callable[[], DaemonStatus],
        accounts: Sequence[AccountHandle],
        desktop: Desktop,
        opener: Opener,
        quiet: QuietLoop,
    ) -> None:
        self._tell_status = status
        self._accounts = list(accounts)
        self._desktop = desktop
        self._opener = opener
        self._quiet = quiet
        self._unread: dict[str, tuple[UnreadRoom, ...]] = {}
        self._summary: Summary | None = None
        self._publish: Callable[[Summary], None] = lambda _: None
        self._changed = asyncio.Event()

    def add(self, account: AccountHandle) -> None:
        """Has one more account told and asked about from now on."""
        self._accounts.append(account)
        self.note_change()

    # What is told

    def note_change(self) -> None:
        """Something that a summary tells may have changed."""
        self._changed.set()

    async def run(self, publish: Callable[[Summary], None]) -> None:
        """Runs until cancelled. `publish` is called with every summary that differs from the one before."""
        self._publish = publish
        await keep_running("bars and badges", self._run)

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(CHANGES_S)
            self._changed.clear()
            try:
                await self._tell()
            except Exception:
                self._changed.set()
                raise

    async def _tell(self) -> None:
        summary = await self._summarize()
        if summary != self._summary:
            self._publish(summary)
            self._summary = summary

    async def _summarize(self) -> Summary:
        for account in self._accounts:
            # While the disk does not answer, what it said last holds.
            try:
                self._unread[account.user_id] = await account.ledger.unread()
            except (StorageError, UserError):
                continue
            except Exception:
                log.exception("Unexpected fault in counting what is unread for %s", account.user_id)
        quiet = self._quiet.quiet
        why, until_ms = (quiet.why, quiet.until_ms) if quiet is not None else ("", 0)
        if quiet is None:
            why = self._desktop.why_inhibited
        connections = {account.user_id: account.connection() for account in self._accounts}
        return summarize(
            {user_id: connection.state.value for user_id, connection in connections.items()},
            self._unread,
            troubles={user_id: connection.why for user_id, connection in connections.items()},
            paused_until_ms=self._quiet.paused_until_ms,
            quiet_why=why,
            quiet_until_ms=until_ms,
            is_quiet_everywhere=quiet is not None and quiet.is_everywhere,
            notification_server=self._desktop.server_name or "",
        )

    # What is asked

    async def status(self) -> Any:
        daemon = self._tell_status()
        ledgers = {account.user_id: account.ledger for account in self._accounts}
        accounts = [await _with_ledger(each, ledgers.get(each.user_id)) for each in daemon.accounts]
        summary = await self._summarize()
        return {
            **replace(daemon, accounts=tuple(accounts)).as_json(),
            "unread": summary.unread,
            "highlights": summary.highlights,
            "quiet": {
                "why": summary.quiet_why,
                "until_ms": summary.quiet_until_ms,
                "everywhere": summary.is_quiet_everywhere,
            },
        }

    async def inbox(self) -> Any:
        return inbox_as_json({each.user_id: await each.ledger.unread(MOST_MESSAGES) for each in self._accounts})

    async def open(self, account: str, room: str, token: str) -> None:
        handle, room_id = self._find(account), _room_id(room)
        unread = await handle.ledger.open_deliveries([room_id])
        event_id = unread[-1].event_id if unread else None
        if not await self._opener.open(room_id, event_id if is_event_id(event_id) else None, token or None):
            raise UserError("No Matrix client could be opened.", "Install one, or set open_with in the configuration.")
        # Only once a client was opened: a message that nobody could look at stays unread.
        handle.delivery.note_opened(room_id)

    async def mark_read(self, account: str, room: str) -> None:
        handle, room_id = self._find(account), _room_id(room)
        unread = await handle.ledger.open_deliveries([room_id])
        newest = _newest_event(unread)
        # Only an invite has no event id of the homeserver's.
        if newest is None and unread:
            raise UserError("An invite cannot be marked as read.", _answer_invite(room_id))
        if newest is None:
            raise UserError("There is nothing unread in this room.", "heliograph inbox")
        await handle.do(ActionRequest(ActionKind.MARK_READ, room_id, room_id, newest))

    async def mark_all_read(self) -> int:
        """Marks every room with something unread as read, but for invites. An account that cannot do it keeps none of
        the others from it; the first error is raised at the end."""
        count, failures = 0, []
        for account in self._accounts:
            try:
                for room in await account.ledger.unread():
                    newest = _newest_event(await account.ledger.open_deliveries([room.room_id]))
                    if newest is not None:
                        await account.do(ActionRequest(ActionKind.MARK_READ, room.room_id, room.room_id, newest))
                        count += 1
            except HeliographError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return count

    async def reply(self, account: str, room: str, text: str) -> None:
        handle, room_id = self._find(account), _room_id(room)
        unread = await handle.ledger.open_deliveries([room_id])
        newest = _newest_event(unread)
        if newest is None and unread:
            raise UserError("You are only invited to this room, and cannot write there yet.", _answer_invite(room_id))
        await handle.do(ActionRequest(ActionKind.REPLY, room_id, room_id, newest, text))

    async def accept(self, account: str, room: str) -> None:
        await self._answer(ActionKind.ACCEPT, account, room)

    async def decline(self, account: str, room: str) -> None:
        await self._answer(ActionKind.DECLINE, account, room)

    async def _answer(self, kind: ActionKind, account: str, room: str) -> None:
        handle, room_id = self._find(account), _room_id(room)
        invites = [each for each in await handle.ledger.open_deliveries([room_id]) if is_invite_id(each.event_id)]
        if not invites:
            raise UserError("There is no invite to this room that waits for an answer.", "heliograph inbox")
        (request,) = action_requests(invites)
        await handle.do(replace(request, kind=kind))

    async def pause(self, words: str, *, is_everywhere: bool) -> int:
        until_ms = await self._quiet.pause(words, is_everywhere=is_everywhere)
        # Who asked looks at the properties next.
        await self._tell()
        return until_ms

    async def resume(self) -> None:
        await self._quiet.resume()
        await self._tell()

    async def erase_history(self, *, with_unread: bool) -> int:
        erased = [await account.ledger.erase_history(with_unread=with_unread) for account in self._accounts]
        await self._tell()
        return sum(erased)

    def _find(self, user_id: str) -> AccountHandle:
        for account in self._accounts:
            if account.user_id == user_id:
                return account
        raise UserError(f"The running Heliograph has no account {user_id[:255]!r}.", "heliograph accounts")


def _newest_event(unread: Sequence[Delivery]) -> EventId | None:
    """The newest of these that is an event of the homeserver's, as an invite is not."""
    return next((each.event_id for each in reversed(unread) if is_event_id(each.event_id)), None)


def _room_id(text: str) -> RoomId:
    if not is_room_id(text):
        raise UserError(f"{text[:255]!r} is not the id of a room.", "heliograph inbox")
    return text


async def _with_ledger(status: AccountStatus, ledger: Ledger | None) -> AccountStatus:
    """The status and what the ledger says, as far as the disk answers. None: the account is not open yet."""
    if ledger is None:
        return status
    with contextlib.suppress(StorageError, UserError):
        pending = (await ledger.counts())["pending"]
        # Not by their state: what a notification server showed that has ended since is on no screen.
        shown = sum(each.size for each in await ledger.popups() if each.popup.id)
        status = replace(status, pending=pending, shown=shown)
    if status.last_sync_ms is None:
        # The account waits for its keyring, or for the homeserver.
        with contextlib.suppress(StorageError, UserError):
            status = replace(status, last_sync_ms=(await ledger.account()).last_sync_ms or None)
    return status
