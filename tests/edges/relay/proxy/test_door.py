"""Connections: as many as there is room for, and none that stays for nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from aiohttp import web

from heliograph.relay.listening import listen_at
from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.door import Door, DoorBounds
from support.waiting import until

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HANG = b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n"
LOOPBACK = Proxies([ipaddress.ip_network("127.0.0.0/8")])
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Served = Callable[..., AbstractAsyncContextManager["House"]]


class House:
    """A server behind a door, and who knocks at it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.hanging = 0
        self.go_on = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def knock(self, request: bytes = b"", *, source: str = "127.0.0.1") -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0))
        self._writers.append(writer)
        writer.write(request)
        return reader, writer

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/hang":
            self.hanging += 1
            await self.go_on.wait()
        return web.Response(text="answer")

    def leave(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
def served() -> Served:
    @contextlib.asynccontextmanager
    async def serve(bounds: DoorBounds, proxies: Proxies = LOOPBACK) -> AsyncIterator[House]:
        door = Door(proxies, bounds)
        application = web.Application(middlewares=[door.greet])
        (listener,) = await listen_at("127.0.0.1:0")
        house = House(listener.getsockname()[1])
        application.router.add_get("/{path:.*}", house.answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        assert runner.server is not None
        door.open([listener], runner.server)
        try:
            yield house
        finally:
            house.leave()
            door.close()
            await runner.cleanup()

    return serve


async def answered(stream: Stream) -> bool:
    """Whether an answer comes; False: the connection ends without one."""
    with contextlib.suppress(ConnectionError):
        return (await stream[0].readline()).startswith(b"HTTP/1.1 200")
    return False


async def test_many_are_answered_at_once(served: Served) -> None:
    async with served(DoorBounds(100)) as house:
        streams = await asyncio.gather(*(house.knock(REQUEST) for _ in range(50)))
        assert all(await asyncio.gather(*map(answered, streams)))


async def test_who_asks_for_nothing_is_shown_out_and_who_did_stays(served: Served) -> None:
    async with served(DoorBounds(100, first_request_s=0.3)) as house:
        asking = await house.knock(REQUEST)
        assert await answered(asking)
        silent, slow = await house.knock(), await house.knock(b"GET / HT")
        assert not await answered(silent)
        assert not await answered(slow)
        asking[1].write(REQUEST)
        assert await asyncio.wait_for(asking[0].readuntil(b"answer"), 5)


@pytest.mark.expected_log("127.0.0.1 has 2 connections, and gets no more. If that is a reverse proxy")
async def test_an_address_has_so_many_connections_and_others_as_before(served: Served) -> None:
    async with served(DoorBounds(100, most_of_address=2), Proxies()) as house:
        held = [await house.knock(HANG) for _ in range(2)]
        await until(lambda: house.hanging == 2, "two requests")
        assert not await answered(await house.knock(REQUEST))
        assert await answered(await house.knock(REQUEST, source="127.0.0.2"))
        house.go_on.set()
        assert all([await answered(each) for each in held])
        for _, writer in held:
            writer.close()

        async def is_let_in() -> bool:
            return await answered(await house.knock(REQUEST))

        await until(is_let_in, "room for the address")


async def test_a_trusted_proxy_has_as_many_as_there_are(served: Served) -> None:
    async with served(DoorBounds(100, most_of_address=2)) as house:
        assert all([await answered(await house.knock(REQUEST)) for _ in range(5)])


@pytest.mark.expected_log("There is no room for more than these 3 connections")
async def test_where_there_is_no_room_new_ones_wait_and_those_that_are_in_go_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.relay.proxy.door.PAUSE_S", 0.05)
    async with served(DoorBounds(3, idle_s=0.1)) as house:
        held = [await house.knock(HANG) for _ in range(3)]
        await until(lambda: house.hanging == 3, "three requests")
        waiting = [asyncio.create_task(answered(await house.knock(REQUEST))) for _ in range(3)]
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in waiting)
        held[0][1].close()
        house.go_on.set()
        assert await answered(held[1])
        # Those with nothing to do make room for the next.
        assert await asyncio.gather(*waiting) == [True] * 3


@pytest.mark.expected_log("There is no room for more than these 0 connections")
async def test_without_descriptors_it_says_so_once_and_goes_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [errno.EMFILE, errno.ENFILE, errno.EMFILE, errno.ECONNABORTED]
    accept = socket.socket.accept

    def accept_or_fail(listener: socket.socket) -> object:
        if failures:
            raise OSError(failures.pop(0), "too many")
        return accept(listener)

    monkeypatch.setattr("heliograph.relay.proxy.door.PAUSE_S", 0.05)
    monkeypatch.setattr(socket.socket, "accept", accept_or_fail)
    async with served(DoorBounds(100)) as house:
        assert await answered(await house.knock(REQUEST))
    assert failures == []


def test_two_descriptors_are_kept_for_each_connection_and_some_for_the_rest() -> None:
    assert [DoorBounds.for_descriptors(limit).most for limit in (1_024, 65_536, 3)] == [384, 32_512, 1]
