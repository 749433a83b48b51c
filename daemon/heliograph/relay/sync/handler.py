"""GET /sync of direct devices (MSC3361): acknowledged, woken by pushes, and answered with notifications.

The relay never syncs by itself: it only repeats the client's request, with the client's own `since`. That keeps
to-device messages and the place in the stream the client's.
Test: test_a_to_device_message_survives_a_poll_that_a_push_ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDictProxy

from heliograph.core.value_type import value_type
from heliograph.relay.model.carried import Key
from heliograph.relay.proxy.callers import authorization_of, fingerprint
from heliograph.relay.proxy.memory import Share
from heliograph.relay.proxy.proxy import Proxy, answer_headers, not_answered, target_of
from heliograph.relay.proxy.upstream import FAILURES, NotAnswered
from heliograph.relay.state.state import RelayState
from heliograph.relay.sync.acknowledgements import SyncAcknowledgements
from heliograph.relay.sync.grace import LEAST_S, MOST_S, Grace
from heliograph.relay.sync.nudge import Nudge
from heliograph.relay.sync.poll import Poll, deadline_of
from heliograph.relay.sync.response import SyncResponseBuilder
from heliograph.relay.wire.sync import scan
from heliograph.system.tasks import cancel, look_at, start, start_beside

DECIDED_S = 0.5
"""How long a request waits until the homeserver has said whose token that is, and what its device missed. After a
restart that may take longer, since everybody is asked about; then the request goes on meanwhile as it would without."""
MAX_BODY = 4 * 1024 * 1024
"""An answer that is larger, or for which there is no room, passes as it is, and the next one carries its notifications.
"""
LEAST_WAIT_MS = 100
"""With less left, a poll is answered instead of waiting on."""
_UNCHANGED = ("accept-encoding", "if-none-match", "if-modified-since", "range")
"""Headers left out, so that the whole answer comes as text that notifications can be added to."""


@value_type
class _Fetched:
    """A whole answer of the homeserver, with status 200."""

    headers: CIMultiDictProxy[str]
    body: bytes
    owed: frozenset[str]
    """Ids of events that the device shall be told of, and that happened before the homeserver was asked."""


class DirectSync:
    """`handle` answers GET /sync of everybody; a device without a direct pusher gets the answer untouched."""

    def __init__(
        self,
        proxy: Proxy,
        state: RelayState,
        acknowledgements: SyncAcknowledgements,
        builder: SyncResponseBuilder,
        nudge: Nudge,
        grace: Grace,
    ) -> None:
        self._proxy = proxy
        self._state = state
        self._acknowledgements = acknowledgements
        self._builder = builder
        self._nudge = nudge
        self._grace = grace

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The homeserver's answer; with notifications for a device that has a direct pusher."""
        since = request.query.get("since")
        authorization = authorization_of(request)
        # Without `since` there is nothing to acknowledge, and no place in the stream to keep.
        if since is None or authorization is None:
            return await self._proxy.handle(request)
        deadline = deadline_of(request)
        deciding = start(self._acknowledgements.take(request, since), name="whose sync")
        deciding.add_done_callback(look_at)
        try:
            await asyncio.wait((deciding,), timeout=DECIDED_S)
            key = deciding.result() if deciding.done() else None
            if key is None:
                answer = await self._open_while_undecided(request, fingerprint(authorization), deciding)
                if answer is not None:
                    return await self._pass_on(request, answer)
                key = await self._acknowledgements.take(request, since)
        except (*FAILURES, NotAnswered) as error:
            return not_answered(error)
        finally:
            deciding.cancel()
        if key is None:
            return await self._proxy.handle(request)
        connection = self._state.connections.connection(key)
        with connection.poll() as wake:
            poll = Poll(request, key, since, authorization, connection, wake, deadline, target_of(request))
            return await self._serve(poll)

    async def _open_while_undecided(
        self, request: web.Request, token_hash: bytes, deciding: asyncio.Task[Key | None]
    ) -> aiohttp.ClientResponse | None:
        """The answer's beginning; None if the device turned out to be direct meanwhile. Raises FAILURES.

        If a device registers a direct pusher while its /sync is waiting, that /sync is treated as direct from then on:
        the request is found by the hash of its access token. So it is if the homeserver says only now whose token that
        is. Tests: test_a_poll_that_was_there_before_the_pusher_is_one_of_a_direct_device,
        test_a_poll_passes_until_it_is_known_whose_it_is.
        """
        with self._state.connections.undecided(token_hash) as turned:

            def turn_if_direct(decided: asyncio.Task[Key | None]) -> None:
                if not decided.cancelled() and decided.exception() is None and decided.result() is not None:
                    turned.set()

            deciding.add_done_callback(turn_if_direct)
            return await self._open_unless(turned, LEAST_S, request, target_of(request))

    async def _serve(self, poll: Poll) -> web.StreamResponse:
        with self._proxy.memory.share() as share:
            return await self._answer(poll, share)

    async def _answer(self, poll: Poll, share: Share) -> web.StreamResponse:
        async with self._looking(poll):
            while True:
                # What was read of an answer before is thrown away by now.
                share.give_back()
                try:
                    fetched = await self._fetch(poll, share)
                except FAILURES as error:
                    return not_answered(error)
                if not isinstance(fetched, _Fetched):
                    return fetched
                body = await self._finish(poll, fetched)
                if body is not None:
                    return web.Response(body=body, headers=answer_headers(fetched.headers))

    @contextlib.asynccontextmanager
    async def _looking(self, poll: Poll) -> AsyncIterator[None]:
        """Meanwhile the notifications are looked for that the device missed while the relay was down."""
        if not poll.connection.is_fresh or not self._is_enabled(poll.key):
            yield
            return
        looking = start_beside(self._builder.look(poll), name="missed notifications")
        try:
            await asyncio.wait((looking,), timeout=DECIDED_S)
            yield
        finally:
            # The next poll looks again.
            await cancel(looking)

    async def _fetch(self, poll: Poll, share: Share) -> _Fetched | web.StreamResponse:
        """The homeserver's answer; a StreamResponse: one that was passed on as it is. Raises FAILURES.

        A push ends a long-poll that the client's filter would not wake: after the grace the request is repeated so that
        the homeserver answers at once. Test: test_what_the_filter_hides_ends_the_poll.
        """
        owed = self._state.owed_to(poll.key)
        is_urgent = poll.connection.is_urgent(owed - poll.tried)
        answer = await self._ask(poll, is_urgent=is_urgent)
        poll.is_cut_short = answer is None and not is_urgent
        if answer is None:
            self._state.connections.counts["woken"] += 1
            owed = self._state.owed_to(poll.key)
            poll.ask_at_once()
            answer = await self._proxy.open(poll.request, poll.target, _UNCHANGED)
        try:
            body, is_whole = await _read(answer, share)
            if answer.status != 200 or not is_whole:
                return await self._proxy.stream(poll.request, answer, body)
            return _Fetched(answer.headers, body, owed)
        finally:
            answer.release()

    async def _finish(self, poll: Poll, fetched: _Fetched) -> bytes | None:
        """The body for the client; None: it has nothing new, and the homeserver is to be asked once more."""
        scanned = scan(fetched.body, poll.key[0])
        if scanned is None:
            return fetched.body
        poll.connection.hand_out(poll.since, scanned.next_batch)
        # An answer that has moved on without what rings leaves that out by the client's filter.
        if poll.is_cut_short and (scanned.next_batch == poll.since or fetched.owed & scanned.events.keys()):
            self._grace.note_late()
        if scanned.next_batch == poll.since:
            # This token acknowledges nothing: a client that sends it may never have seen this answer.
            return None if await self._goes_on(poll, fetched.owed) else fetched.body
        if not self._is_enabled(poll.key):
            return fetched.body
        return await self._builder.attach(poll, scanned, fetched.owed, fetched.body)

    async def _goes_on(self, poll: Poll, owed: frozenset[str]) -> bool:
        """Whether to ask once more after an answer whose token did not move."""
        is_urgent = poll.connection.is_urgent(owed - poll.tried)
        if is_urgent and poll.is_cut_short and not poll.is_patient and poll.rest_ms > LEAST_WAIT_MS:
            # The push was so much faster that its event is still on its way to the process that answers.
            # Test: test_an_event_that_comes_long_after_its_push_costs_no_nudge.
            poll.is_patient = True
            poll.ask_for_the_rest()
            return True
        poll.tried |= owed
        if is_urgent and await self._nudge.send(poll):
            poll.ask_at_once()
            return True
        if poll.is_short and poll.rest_ms > LEAST_WAIT_MS:
            poll.ask_for_the_rest()
            return True
        return False

    async def _ask(self, poll: Poll, *, is_urgent: bool) -> aiohttp.ClientResponse | None:
        """The answer's beginning; None if a push came and no answer followed within the grace. Raises FAILURES."""
        # Before asking: every push from now on is news.
        poll.wake.clear()
        if is_urgent:
            poll.wake.set()
        if poll.rest_ms <= 0:
            return await self._proxy.open(poll.request, poll.target, _UNCHANGED)
        grace_s = MOST_S if poll.is_patient else self._grace.seconds
        # What woke the poll before the homeserver was asked tells nothing of the lag.
        measure = None if is_urgent else self._grace.measure
        return await self._open_unless(poll.wake, grace_s, poll.request, poll.target, _UNCHANGED, measure)

    async def _open_unless(
        self,
        event: asyncio.Event,
        grace_s: float,
        request: web.Request,
        target: str,
        leave_out: tuple[str, ...] = (),
        measure: Callable[[float], None] | None = None,
    ) -> aiohttp.ClientResponse | None:
        """The answer's beginning; None if `event` was set and no answer followed within the grace. Raises FAILURES.

        `measure` is told by how many seconds an answer followed the event.
        """
        asking = start(self._proxy.open(request, target, leave_out), name="sync upstream")
        ringing = start(event.wait(), name="wake")
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait((asking, ringing), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                rang_at = loop.time()
                await asyncio.wait((asking,), timeout=grace_s)
                if asking.done() and measure is not None:
                    measure(loop.time() - rang_at)
            return await asking if asking.done() else None
        finally:
            ringing.cancel()
            if not asking.done():
                asking.cancel()
                # Cancelled too late it may still bring an answer, whose connection would stay open.
                asking.add_done_callback(_close)

    async def _pass_on(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        try:
            return await self._proxy.stream(request, answer)
        finally:
            answer.release()

    def _is_enabled(self, key: Key) -> bool:
        return self._state.registry.is_enabled(*key)


async def _read(answer: aiohttp.ClientResponse, share: Share) -> tuple[bytes, bool]:
    """The body, and whether that is all of it: not if it is more than MAX_BODY, or than there is room for.

    Raises FAILURES.
    """
    body = bytearray()
    while chunk := await answer.content.readany():
        body += chunk
        if len(body) > MAX_BODY or not share.take(len(chunk)):
            return bytes(body), False
    return bytes(body), True


def _close(asking: asyncio.Future[aiohttp.ClientResponse]) -> None:
    if not asking.cancelled() and asking.exception() is None:
        asking.result().close()
