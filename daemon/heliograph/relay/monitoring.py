"""/health and /metrics, for those who run the relay. For all others these paths are the homeserver's.

Who asks at `monitor`, an address of its own, is asked nothing. At `listen` the sender's address says who is one of the
operators; a reverse proxy that names nobody speaks for strangers, too.
Tests: test_to_others_the_paths_are_the_homeservers, test_whoever_reaches_the_address_for_monitoring_is_answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from aiohttp import web

from heliograph import __version__
from heliograph.errors import StorageError
from heliograph.relay.gateway.notify import Gateway
from heliograph.relay.metrics import CONTENT_TYPE, Metric, render
from heliograph.relay.model.pushes import SENT, Accepted, PushCounts, Why
from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.encounters import Encounters
from heliograph.relay.proxy.upstream import NotAnswered, Upstream
from heliograph.relay.queue.outbox import Outbox
from heliograph.relay.state.connections import STEPS
from heliograph.relay.state.state import RelayState

log = logging.getLogger(__name__)

MET_PATH = "/_heliograph/v1/met"
ANSWER_S = 5.0


class Monitoring:
    """`health`, `met` and `metrics` answer requests. `upstream` is None where no homeserver is behind the relay."""

    def __init__(
        self,
        state: RelayState,
        outbox: Outbox,
        gateway: Gateway,
        upstream: Upstream | None,
        encounters: Encounters,
    ) -> None:
        self._state = state
        self._outbox = outbox
        self._gateway = gateway
        self._upstream = upstream
        self._encounters = encounters

    async def health(self, request: web.Request) -> web.Response:
        """200 if the relay does its work, 503 if it cannot.

        A homeserver that is down is told of, and no reason to restart the relay: the status stays 200. `crashes`
        counts those of the last hour, by long-lived task.
        """
        told: dict[str, object] = {"status": "ok", "version": __version__}
        try:
            # Reads the disk, and so shows whether that works.
            counts = await self._outbox.counts()
            told |= {
                "waiting": counts.waiting.pushes,
                "held": counts.waiting.held,
                "failing_pushers": counts.waiting.failing_pushers,
                "in_flight": counts.in_flight,
            }
        except StorageError as error:
            log.error("The relay's disk fails: %s", error)
            told["status"] = "the disk fails"
        told["crashes"] = {task.name: task.crashes for task in self._outbox.tasks}
        if self._upstream is not None:
            told["homeserver"] = "ok" if await self._has_homeserver(self._upstream) else "does not answer"
        return web.json_response(told, status=200 if told["status"] == "ok" else 503)

    async def met(self, request: web.Request) -> web.Response:
        """Whether a push came for this unknown pushkey, or a request with this mark: `heliograph relay check` sees its
        own arrive so.

        Everybody may ask, since what is not one's own cannot be guessed.
        """
        sought = request.match_info["pushkey"]
        return web.json_response({"met": self._gateway.has_met(sought) or self._encounters.has_met(sought)})

    async def metrics(self, request: web.Request) -> web.Response:
        """Answers a scrape of Prometheus."""
        try:
            counts = await self._outbox.counts()
        except StorageError as error:
            log.error("The relay's disk fails: %s", error)
            return web.Response(status=503)
        return web.Response(body=render(self._collect(counts)).encode(), headers={"Content-Type": CONTENT_TYPE})

    def _collect(self, counts: PushCounts) -> list[Metric]:
        registry, connections, waiting = self._state.registry, self._state.connections, counts.waiting
        kinds = {"direct": registry.direct_pushers, "http": registry.http_pushers}
        crashes = {task.name: task.crashes for task in self._outbox.tasks}
        reasons = {"acknowledgement": waiting.held, "gateway": waiting.pushes - waiting.held}
        return [
            Metric("info", "Which version runs.", {__version__: 1}, "version"),
            Metric("users", "Users with a pusher here.", {"": registry.users}),
            Metric("pushers", "Pushers by kind.", kinds, "kind"),
            Metric("polls", "Requests for /sync of direct devices that are open.", {"": connections.pending}),
            Metric("notifications_total", "What direct devices were told.", _all(STEPS, connections.counts), "step"),
            Metric("gateway_requests_total", "Requests to the push gateway.", self._gateway.requests, "result"),
            Metric(
                "pushes_taken_total",
                "Pushes from the homeserver by what was done at once.",
                _all(map(str, Accepted), counts.accepted),
                "result",
            ),
            Metric(
                "pushes_settled_total",
                "Pushes by what became of them.",
                _all((SENT, *map(str, Why)), counts.settled),
                "outcome",
            ),
            Metric("pushes_waiting", "Pushes that wait, by what for.", reasons, "for"),
            Metric("pushers_failing", "Pushers whose gateway failed last.", {"": waiting.failing_pushers}),
            Metric("attempts_total", "Requests to push gateways.", _all(("ok", "failed"), counts.attempts), "result"),
            Metric("attempts_open", "Requests to push gateways that are open.", {"": counts.in_flight}),
            Metric("crashes", "Crashes of the last hour.", crashes, "task"),
        ]

    async def _has_homeserver(self, upstream: Upstream) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                return (await upstream.ask("GET", "/_matrix/client/versions", {})).is_good
        except (NotAnswered, TimeoutError):
            return False


def _all(names: Iterable[str], counted: Mapping[str, int]) -> dict[str, int]:
    """The counts of all names, 0 for what never happened: Prometheus sees no increase in a counter whose first value is
    1. Test: test_what_never_happened_is_counted_as_zero."""
    return {name: counted.get(name, 0) for name in names}


def may_ask(request: web.Request, proxies: Proxies, operators: Proxies) -> bool:
    """Whether the request comes from an operator, by the address of its sender before any trusted proxy. A sender whom
    no trusted proxy names is none."""
    return operators.are_trusted(proxies.client_of(request))
