"""A log that strangers cannot fill."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from heliograph.http.listener_log import listener_log

LOGGER = "heliograph.listener"
LARGE = b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        raise RuntimeError("a fault of our own")

    runner = web.ServerRunner(web.Server(answer, access_log=None, logger=listener_log(LOGGER)))
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
async def test_what_is_no_request_is_refused_and_has_one_line_without_its_contents(
    port: int, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        assert await ask(port, request_) == b"400"
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    # The logger may have told already in this minute, of another test's.
    assert len(lines) <= 1
    assert all(line.startswith("Requests that cannot be parsed: ") for line in lines)


def test_requests_that_cannot_be_parsed_have_a_line_a_minute() -> None:
    log = listener_log("heliograph.other_listener")
    records = [record_at(seconds) for seconds in (0, 1, 59, 60, 61, 200)]
    passed = [bool(log.filter(record)) for record in records]
    assert passed == [True, False, False, True, False, True]
    assert [record.getMessage() for record in records if record.levelno == logging.INFO] == [
        f"Requests that cannot be parsed: {number} since the last such line" for number in (1, 3, 2)
    ]
    assert all(record.exc_info is None for record, has_passed in zip(records, passed, strict=True) if has_passed)


def record_at(seconds: float) -> logging.LogRecord:
    error = BadHttpMessage("secret")
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%s", ("secret",), (type(error), error, None))
    record.created = 1_000_000 + seconds
    return record


@pytest.mark.expected_log("heliograph.listener error: .*\n(.*\n)*RuntimeError: a fault of our own")
async def test_a_fault_of_our_own_is_logged(port: int) -> None:
    assert await ask(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b"500"
