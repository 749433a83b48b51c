"""What the homeserver pushes is kept and answered at once, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edges.relay.stage import ME, NOON, ROOM, OutboxStage, make_twin
from heliograph.core.events import Json
from heliograph.relay.gateway.notify import LARGEST_BODY, UNKNOWN_PUSHKEY, Gateway
from heliograph.relay.model.outcome import Delivered
from heliograph.relay.model.pushers import Twin
from heliograph.relay.model.pushes import Why
from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.bodies import Bodies
from heliograph.relay.proxy.limits import Allowance
from heliograph.relay.pushers.recovery import PusherRecovery
from heliograph.relay.queue.targets import NOTIFY_PATH
from heliograph.relay.state.registry import Registry
from heliograph.relay.store.sqlite.store import open_sqlite

Client = TestClient[web.Request, web.Application]


@dataclass
class Desk:
    """`ports.DirectDevices`: one desktop."""

    hold_ms: int | None = None
    arrivals: list[tuple[str, str, str]] = field(default_factory=list)

    def hold_until(self, user_id: str, app_id: str, pushkey: str, received_ms: int) -> int | None:
        return None if self.hold_ms is None else received_ms + self.hold_ms

    def announce(self, user_id: str, room_id: str, event_id: str, notification: Json) -> None:
        self.arrivals.append((user_id, room_id, event_id))


@dataclass
class GatewayStage:
    outbox: OutboxStage
    desk: Desk
    gateway: Gateway
    client: Client

    async def post(self, body: Any) -> tuple[int, Any]:
        """Status and answer; `body` is JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.post(NOTIFY_PATH, data=data) as response:
            return response.status, await response.json()

    async def push(self, twin: Twin, event_id: str | None = "$1", **notification: Any) -> list[str]:
        """The rejected pushkeys."""
        status, answer = await self.post(make_body(twin.upstream_pushkey, event_id=event_id, **notification))
        assert status == 200
        await self.outbox.rest()
        rejected: list[str] = answer["rejected"]
        return rejected


def make_body(*pushkeys: str, event_id: str | None = "$1", unread: int = 1, **notification: Any) -> Any:
    devices = [{"app_id": "app", "pushkey": pushkey, "pushkey_ts": 7, "data": {}} for pushkey in pushkeys]
    told = {"id": "", "sender": "", "type": None} if event_id is None else {"event_id": event_id, "room_id": ROOM}
    return {"notification": {**told, "counts": {"unread": unread}, "devices": devices, **notification}}


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[GatewayStage]:
    (tmp_path / "pushers").mkdir()
    async with AsyncExitStack() as stack, OutboxStage(tmp_path) as outbox:
        desk = Desk()
        strays = Allowance(1, 3)
        store = await stack.enter_async_context(open_sqlite(tmp_path / "pushers"))
        recovery = PusherRecovery(await Registry.load(store.pushers), gateway_url="", refuses=lambda url: None)
        gateway = Gateway(outbox.pushers, desk, outbox.outbox, outbox.clock, recovery, Bodies(Proxies()), strays=strays)
        application = web.Application()
        application.add_routes(gateway.routes())
        async with TestClient(TestServer(application)) as client:
            yield GatewayStage(outbox, desk, gateway, client)


async def test_a_push_is_answered_before_the_real_gateway_is(stage: GatewayStage) -> None:
    stage.outbox.gateways.always = None
    phone = stage.outbox.pushers.add(make_twin())
    assert await stage.push(phone, "$1") == []
    assert await stage.push(phone, "$2") == []
    assert len(stage.outbox.gateways.waiting) == 1


async def test_an_answered_push_survives_a_kill(stage: GatewayStage) -> None:
    stage.outbox.gateways.always = None
    phone = stage.outbox.pushers.add(make_twin())
    await stage.push(phone, "$1")
    stage.outbox.gateways.always = Delivered()
    await stage.outbox.restart()
    assert stage.outbox.gateways.events == ["$1", "$1"]


async def test_the_body_goes_on_as_it_came(stage: GatewayStage) -> None:
    phone = stage.outbox.pushers.add(make_twin())
    content = {"body": "\ud83d \U0001f600", "number": 10**30, "io.example.unknown": [None, 1.5]}
    await stage.push(phone, "$1", content=content, prio="high", sender_display_name="Ann", extra={"a": 1})
    (request,) = stage.outbox.gateways.requests
    expected = make_body("x", content=content, prio="high", sender_display_name="Ann", extra={"a": 1})["notification"]
    device = {"app_id": "app", "pushkey": "phone", "pushkey_ts": 7, "data": {"format": "event_id_only"}}
    assert request.notification == {**expected, "devices": [device]}


async def test_a_push_waits_while_the_desktop_may_acknowledge_it(stage: GatewayStage) -> None:
    stage.desk.hold_ms = 3000
    phone = stage.outbox.pushers.add(make_twin())
    await stage.push(phone, "$1")
    assert stage.outbox.gateways.events == []
    await stage.outbox.pass_ms(3000)
    assert stage.outbox.gateways.events == ["$1"]


async def test_a_clearing_push_waits_for_nobody(stage: GatewayStage) -> None:
    phone = stage.outbox.pushers.add(make_twin())
    await stage.push(phone, "$1")
    stage.desk.hold_ms = 3000
    await stage.push(phone, None, unread=0)
    assert stage.outbox.gateways.events == ["$1", None]


async def test_a_clearing_push_without_a_count_means_zero(stage: GatewayStage) -> None:
    stage.desk.hold_ms = 3000
    phone = stage.outbox.pushers.add(make_twin())
    await stage.push(phone, "$1")
    await stage.push(phone, None, counts={})
    await stage.outbox.pass_ms(3000)
    assert stage.outbox.gateways.events == []


async def test_every_push_is_announced_whatever_becomes_of_it(stage: GatewayStage) -> None:
    phone = stage.outbox.pushers.add(make_twin())
    waker = stage.outbox.pushers.add(make_twin("waker", url=None))
    disabled = stage.outbox.pushers.add(make_twin("disabled", is_enabled=False))
    for twin in (phone, phone, waker, disabled):
        await stage.push(twin, "$1")
    assert stage.desk.arrivals == [(ME, ROOM, "$1")] * 4
    assert [request.pushkey for request in stage.outbox.gateways.requests] == ["phone"]


async def test_unread_zero_counts_whichever_pusher_brings_it(stage: GatewayStage) -> None:
    stage.desk.hold_ms = 3000
    phone = stage.outbox.pushers.add(make_twin())
    waker = stage.outbox.pushers.add(make_twin("waker", url=None))
    await stage.push(phone, "$1")
    await stage.push(waker, None, unread=0)
    await stage.outbox.pass_ms(3000)
    assert stage.outbox.gateways.events == []
    assert (await stage.outbox.outbox.counts()).settled[Why.UNREAD_ZERO] == 1


async def test_a_pushkey_that_nobody_knows_is_never_rejected(stage: GatewayStage) -> None:
    phone = stage.outbox.pushers.add(make_twin())
    status, answer = await stage.post(make_body("unknown", phone.hidden_pushkey))
    await stage.outbox.rest()
    assert (status, answer["errcode"]) == (503, UNKNOWN_PUSHKEY)
    assert stage.outbox.gateways.events == ["$1"]


async def test_withdrawn_pushkeys_are_rejected_and_known_ones_beside_them_taken(stage: GatewayStage) -> None:
    phone = stage.outbox.pushers.add(make_twin())
    stage.outbox.pushers.withdrawn.add("gone")
    status, answer = await stage.post(make_body("gone", phone.hidden_pushkey))
    await stage.outbox.rest()
    assert (status, answer) == (200, {"rejected": ["gone"]})
    assert stage.outbox.gateways.events == ["$1"]


async def test_a_rejection_by_the_real_gateway_is_passed_on_at_the_next_push(stage: GatewayStage) -> None:
    stage.outbox.gateways.always = Delivered(is_rejected=True)
    phone = stage.outbox.pushers.add(make_twin())
    assert await stage.push(phone, "$1") == []
    assert await stage.push(phone, "$2") == [phone.hidden_pushkey]
    assert await stage.push(phone, None, unread=0) == [phone.hidden_pushkey]
    assert stage.outbox.gateways.events == ["$1"]


@pytest.mark.expected_log("A push cannot be kept, and the homeserver is to send it again")
async def test_a_push_that_cannot_be_kept_is_left_to_the_homeserver(stage: GatewayStage) -> None:
    phone = stage.outbox.pushers.add(make_twin())
    await stage.outbox.kill()
    status, answer = await stage.post(make_body(phone.hidden_pushkey))
    assert status == 503
    assert answer["errcode"] == "M_UNKNOWN"


async def test_what_is_no_push_is_refused_without_a_word_in_the_log_of_its_content(stage: GatewayStage) -> None:
    for body in (b"", b"[]", b"{", b'{"notification": 5}', b'{"notification": {"devices": [{"pushkey": 5}]}}'):
        stage.outbox.clock.set(stage.outbox.clock.now_ms() + 10_000)
        status, answer = await stage.post(body)
        assert (status, answer["errcode"]) == (400, "M_BAD_JSON")
    assert stage.gateway.requests["malformed"] == sum(stage.gateway.requests.values()) == 5


async def test_hostile_bodies_end_in_an_answer(stage: GatewayStage) -> None:
    nested = b'{"notification": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    number = b'{"notification": {"devices": [], "n": ' + b"9" * 10_000 + b"}}"
    lone = json.dumps(make_body("k", event_id="\ud800")).encode()
    for body in (nested, number, lone, b"\xff\xfe", b'{"notification": {"devices": [], "n": NaN}}'):
        stage.outbox.clock.set(stage.outbox.clock.now_ms() + 10_000)
        assert (await stage.post(body))[0] == 400
    crowd = make_body(*(f"k{serial}" for serial in range(101)))
    stage.outbox.clock.set(stage.outbox.clock.now_ms() + 10_000)
    assert (await stage.post(crowd))[0] == 400


async def test_a_body_larger_than_any_push_is_not_read(stage: GatewayStage) -> None:
    assert (await stage.post(b" " * (LARGEST_BODY + 1)))[0] == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(LARGEST_BODY // 1024 + 1):
            yield b" " * 1024

    async with stage.client.post(NOTIFY_PATH, data=endless()) as response:
        assert response.status == 413


async def test_an_unknown_pushkey_is_looked_for_so_often_only_and_others_as_before(
    stage: GatewayStage,
) -> None:
    phone = stage.outbox.pushers.add(make_twin())
    for _ in range(3):
        assert (await stage.post(make_body("guess")))[0] == 503
    async with stage.client.post(NOTIFY_PATH, json=make_body("guess")) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "2"
    # The homeserver that sends from the same address is not held up by it.
    assert await stage.push(phone, "$1") == []
    assert (await stage.post(make_body("another")))[0] == 503
    stage.outbox.clock.set(NOON + 2000)
    assert (await stage.post(make_body("guess")))[0] == 503
