"""A log that strangers cannot fill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from heliograph.http.listener_log import listener_log

LARGE = b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        raise RuntimeError("a fault of our own")

    runner = web.ServerRunner(web.Server(answer, access_log=None, logger=listener_log("heliograph.listener")))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    status = await reader.readline()
    writer.close()
    return status.split()[1]


@pytest.mark.parametrize(
    "request_",
    [LARGE, b"GET / HTTP/9.9.9\r\n\r\n", b"GET / HTTP/1.1\r\nA: b\r\n: c\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"],
)
async def test_what_is_no_request_is_refused_and_not_logged(port: int, request_: bytes) -> None:
    assert await ask(port, request_) == b"400"


@pytest.mark.expected_log("heliograph.listener error: .*\n(.*\n)*RuntimeError: a fault of our own")
async def test_a_fault_of_our_own_is_logged(port: int) -> None:
    assert await ask(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b"500"
