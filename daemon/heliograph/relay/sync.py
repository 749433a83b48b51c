"""GET /sync of direct devices (MSC3361): attach, acknowledge, wake.

The relay never syncs by itself: it only repeats the client's request, with the client's own `since`. That is what
keeps to-device messages and the client's place in the stream safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from heliograph.errors import StorageError
from heliograph.relay.attachments import Attachments, Carried, Key
from heliograph.relay.callers import Caller, Callers, authorization_of
from heliograph.relay.lines import Line, Lines
from heliograph.relay.listing import Entry, Listing
from heliograph.relay.ports import Outbox
from heliograph.relay.proxy import Proxy, answer_headers, not_answered, target_of
from heliograph.relay.registry import Registry
from heliograph.relay.sync_body import SyncBody, scan, with_notifications
from heliograph.relay.synthesis import Synthesis
from heliograph.relay.upstream import FAILURES, NotAnswered, Upstream

log = logging.getLogger(__name__)

GRACE_S = 0.03
"""How long a poll may take to end by itself after a push. Push and poll come within 2 ms of one another."""
MAX_BODY = 4 * 1024 * 1024
"""An answer that is larger passes as it is, and the next one carries its notifications."""
MAX_LOOKS = 3
"""How often an event that a push told of is looked for in the list."""
LEAST_WAIT_MS = 100
_UNCHANGED = ("accept-encoding", "if-none-match", "if-modified-since", "range")


@dataclass(slots=True)
class _Poll:
    """One request of a direct device."""

    request: web.Request
    key: Key
    since: str
    authorization: Mapping[str, str]
    line: Line
    bell: asyncio.Event
    deadline: float
    """Of the loop's clock: when the client expects an answer."""


class DirectSync:
    """`handle` answers GET /sync of everybody; who has no direct pusher gets it untouched."""

    def __init__(
        self,
        upstream: Upstream,
        proxy: Proxy,
        callers: Callers,
        registry: Registry,
        attachments: Attachments,
        lines: Lines,
        listing: Listing,
        outbox: Outbox,
        clock: Callable[[], int],
    ) -> None:
        self._upstream = upstream
        self._proxy = proxy
        self._callers = callers
        self._registry = registry
        self._attachments = attachments
        self._lines = lines
        self._listing = listing
        self._synthesis = Synthesis(upstream)
        self._outbox = outbox
        self._clock = clock

    async def handle(self, request: web.Request) -> web.StreamResponse:
        since = request.query.get("since")
        authorization = authorization_of(request)
        if not self._registry.has_direct or since is None or authorization is None:
            return await self._proxy.handle(request)
        try:
            caller = await self._callers.identify(request, self._proxy.proxies.client_of(request))
        except NotAnswered as error:
            return not_answered(error)
        if not isinstance(caller, Caller) or caller.device_id is None:
            return await self._proxy.handle(request)
        key = (caller.user_id, caller.device_id)
        await self._acknowledge(key, since)
        # A pusher that is switched off may be switched on before this request is answered.
        if not self._lines.is_direct(*key):
            return await self._proxy.handle(request)
        line = self._lines.line(key)
        with line.poll(self._clock) as bell:
            deadline = asyncio.get_running_loop().time() + _timeout_ms(request) / 1000
            return await self._serve(_Poll(request, key, since, authorization, line, bell, deadline))

    async def _acknowledge(self, key: Key, since: str) -> None:
        event_ids = self._attachments.acknowledged_by(key, since)
        if not event_ids:
            return
        try:
            # In this order: if the relay is killed between the two, the device is told once more, and nobody rings.
            await self._outbox.acknowledge(*key, event_ids)
            await self._attachments.acknowledge(key, since)
        except StorageError as error:
            log.warning("An acknowledgement could not be kept: %s", error)
            return
        self._lines.line(key).settle(event_ids)

    async def _serve(self, poll: _Poll) -> web.StreamResponse:
        if poll.line.is_fresh and self._lines.is_enabled(*poll.key):
            await self._look(poll)
        tried: frozenset[str] = frozenset()
        target = target_of(poll.request)
        repeats = 0
        while True:
            known = self._known(poll)
            has_been_rung = False
            try:
                answer = await self._ask(poll, target, is_urgent=poll.line.is_urgent(known - tried))
                if answer is None:
                    has_been_rung = True
                    known = self._known(poll)
                    # Not twice the same: homeservers keep the answer to a request for its repetition.
                    again = with_timeout(target, repeats)
                    repeats += 1
                    answer = await self._upstream.open("GET", again, self._headers(poll))
            except FAILURES as error:
                return not_answered(error)
            try:
                body = await _read(answer)
                if answer.status != 200 or len(body) > MAX_BODY:
                    return await self._proxy.stream(poll.request, answer, body)
            except FAILURES as error:
                return not_answered(error)
            finally:
                answer.release()
            scanned = scan(body, poll.key[0])
            rest_ms = self._rest_ms(poll)
            if scanned is not None and scanned.next_batch == poll.since:
                if has_been_rung and rest_ms > LEAST_WAIT_MS:
                    # It could not be acknowledged: it waits until the token moves.
                    tried |= known
                    target = with_timeout(target, rest_ms)
                    continue
            elif scanned is not None and self._lines.is_enabled(*poll.key):
                body = await self._attach(poll, scanned, known, body)
            return web.Response(body=body, headers=answer_headers(answer.headers))

    async def _ask(self, poll: _Poll, target: str, *, is_urgent: bool) -> aiohttp.ClientResponse | None:
        """The answer's beginning; None if a push came and the answer did not follow at once. Raises FAILURES."""
        poll.bell.clear()
        if is_urgent:
            poll.bell.set()
        asking = asyncio.ensure_future(self._upstream.open("GET", target, self._headers(poll)))
        if self._rest_ms(poll) <= 0:
            return await asking
        ringing = asyncio.ensure_future(poll.bell.wait())
        try:
            await asyncio.wait((asking, ringing), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                await asyncio.wait((asking,), timeout=GRACE_S)
            return await asking if asking.done() else None
        finally:
            ringing.cancel()
            if not asking.done():
                asking.cancel()
                asking.add_done_callback(_close)

    async def _look(self, poll: _Poll) -> None:
        """What the device missed while the relay was not there to hear of it waits for this answer."""
        key = poll.key
        needed = list(self._attachments.open_in(key))
        try:
            listed = await self._listing.read(
                poll.authorization, needed, lambda entry: self._attachments.wants(key, entry.event_id, entry.ts)
            )
        except NotAnswered as error:
            log.info("Notifications are not listed: %s", error)
            return
        poll.line.is_fresh = False
        for entry in listed.entries.values() if listed else ():
            if self._attachments.wants(key, entry.event_id, entry.ts):
                poll.line.keep(entry.event_id, entry.room_id)

    async def _attach(self, poll: _Poll, scanned: SyncBody, known: frozenset[str], body: bytes) -> bytes:
        """The body with what this device has not acknowledged, which is on disk by then."""
        try:
            await self._settle(poll.key, scanned)
            entries = await self._gather(poll, scanned, known)
            if not entries:
                return body
            carried = [Carried(entry.event_id, entry.room_id, entry.ts) for entry in entries]
            await self._attachments.carry(poll.key, scanned.next_batch, carried)
        except NotAnswered as error:
            log.info("An answer goes without notifications: %s", error)
            return body
        except StorageError as error:
            log.warning("An answer goes without notifications: %s", error)
            return body
        poll.line.carry(entry.event_id for entry in entries)
        return with_notifications(body, [entry.raw for entry in entries])

    async def _settle(self, key: Key, scanned: SyncBody) -> None:
        """What the answer itself says about events that rang: deleted, read, left."""
        user_id = key[0]
        for room_id, event_id in scanned.redactions:
            await self._outbox.cancel_events(user_id, room_id, [event_id], "redacted")
        for receipt in scanned.receipts:
            await self._outbox.cancel_read(user_id, receipt.room_id, receipt.thread_id, receipt.event_id)
        for room_id in scanned.left:
            await self._outbox.cancel_room(user_id, room_id, "left")
        opened = self._attachments.open_in(key)
        gone = {event_id for _, event_id in scanned.redactions if event_id in opened}
        gone.update(event_id for event_id, each in opened.items() if each.room_id in scanned.left)
        if gone:
            await self._attachments.drop(key, gone)
            self._lines.line(key).settle(gone)

    async def _gather(self, poll: _Poll, scanned: SyncBody, known: frozenset[str]) -> list[Entry]:
        """What belongs into this answer, the oldest first. What came too late for it waits for the next."""
        key, line = poll.key, poll.line
        needed = known | line.waiting.keys()
        if not needed and not scanned.has_news:
            return []
        listed = await self._listing.read(
            poll.authorization, needed, lambda entry: self._attachments.wants(key, entry.event_id, entry.ts)
        )
        if listed is None:
            return await self._synthesise(poll, scanned, known)
        entries = []
        is_covered = False
        for entry in reversed(listed.entries.values()):
            # What is older than something that the answer has happened before the answer was made.
            is_covered = is_covered or entry.event_id in scanned.events
            is_told = entry.event_id in line.waiting
            if not self._attachments.wants(key, entry.event_id, None if is_told else entry.ts):
                continue
            if is_covered or entry.room_id in scanned.invites or entry.event_id in known:
                entries.append(entry)
            else:
                line.keep(entry.event_id, entry.room_id)
        entries.reverse()
        if listed.is_whole:
            unlisted = needed - listed.entries.keys()
            await self._attachments.drop(key, unlisted)
            line.look_in_vain(unlisted, MAX_LOOKS)
        return entries

    async def _synthesise(self, poll: _Poll, scanned: SyncBody, known: frozenset[str]) -> list[Entry]:
        key, line = poll.key, poll.line
        if scanned.has_news and not (line.waiting.keys() & scanned.events.keys()):
            poll.bell.clear()
            try:
                async with asyncio.timeout(GRACE_S):
                    await poll.bell.wait()
            except TimeoutError:
                pass
        opened = self._attachments.open_in(key)
        told = {event_id: (news.room_id, news.notification) for event_id, news in line.waiting.items()}
        told = {**{event_id: (each.room_id, {}) for event_id, each in opened.items()}, **told}
        entries = []
        for event_id, (room_id, pushed) in told.items():
            if event_id not in known and event_id not in scanned.events and room_id not in scanned.invites:
                continue
            raw = scanned.events.get(event_id)
            entry = await self._synthesis.build(poll.authorization, room_id, event_id, pushed, raw)
            if entry is None:
                await self._attachments.drop(key, [event_id])
                line.look_in_vain([event_id], 1)
            else:
                entries.append(entry)
        return sorted(entries, key=lambda entry: entry.ts)

    def _known(self, poll: _Poll) -> frozenset[str]:
        """Events that this device shall be told of, and that happened before the homeserver is asked."""
        if not self._lines.is_enabled(*poll.key):
            return frozenset()
        return frozenset((*poll.line.waiting, *self._attachments.open_in(poll.key)))

    def _headers(self, poll: _Poll) -> CIMultiDict[str]:
        return self._proxy.headers(poll.request, _UNCHANGED)

    def _rest_ms(self, poll: _Poll) -> int:
        return int(1000 * (poll.deadline - asyncio.get_running_loop().time()))


def with_timeout(target: str, timeout_ms: int) -> str:
    """The same request with another `timeout`; every other byte as it was."""
    path, _, query = target.partition("?")
    kept = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) != "timeout"]
    return f"{path}?{'&'.join([*kept, 'timeout=' + quote(str(timeout_ms))])}"


def _timeout_ms(request: web.Request) -> int:
    try:
        return max(0, min(int(request.query.get("timeout", "0")), 3_600_000))
    except ValueError:
        return 0


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The body, or its beginning if that is more than MAX_BODY. Raises FAILURES."""
    body = bytearray()
    while len(body) <= MAX_BODY and (chunk := await answer.content.readany()):
        body += chunk
    return bytes(body)


def _close(asking: asyncio.Future[aiohttp.ClientResponse]) -> None:
    if not asking.cancelled() and asking.exception() is None:
        asking.result().close()
