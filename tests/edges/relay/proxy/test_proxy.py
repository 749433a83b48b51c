"""What passes through the relay passes as it is, a piece at a time."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from yarl import URL

from edges.relay.running import RunningRelay
from heliograph.relay.proxy.addresses import Proxies
from heliograph.relay.proxy.proxy import Proxy
from heliograph.relay.proxy.upstream import NotAnswered, Upstream
from support.waiting import until

BODY = "x" * 100


class Echo:
    """A homeserver that tells what it was asked, and streams on request."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.is_cut = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        match request.path:
            case "/stream":
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b"first")
                await self.go_on.wait()
                await response.write(b"second")
                return response
            case "/upload":
                chunks = []
                async for chunk in request.content.iter_any():
                    chunks.append(chunk)
                    self.begun.set()
                self.bodies.append(b"".join(chunks))
                return web.json_response({"length": len(self.bodies[-1])})
            case "/hang":
                self.begun.set()
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    self.is_cut = True
                    raise
            case "/broken":
                response = web.StreamResponse(headers={"Content-Length": "100"})
                await response.prepare(request)
                await response.write(b"first")
                assert request.transport is not None
                request.transport.abort()
                return response
            case "/closed":
                assert request.transport is not None
                request.transport.close()
            case "/gzip":
                return web.Response(body=gzip.compress(BODY.encode()), headers={"Content-Encoding": "gzip"})
            case "/redirect":
                return web.Response(status=302, headers={"Location": "/elsewhere", "Set-Cookie": "a=b"})
        return web.Response(status=418, text=BODY, headers={"X-Custom": "kept", "Connection": "x-gone", "X-Gone": "1"})


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def relay(echo: Echo, tmp_path: Path) -> AsyncIterator[RunningRelay]:
    server = web.Server(echo.handle, access_log=None, handler_cancellation=True, auto_decompress=False)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    homeserver = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with RunningRelay(homeserver, tmp_path / "relay", trusted_proxies=()) as running:
        yield running
    await runner.cleanup()


@pytest.fixture
async def client(relay: RunningRelay) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


async def test_status_headers_and_body_come_back_and_connection_headers_do_not(
    relay: RunningRelay, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{relay.url}/any") as response:
        assert response.status == 418
        assert response.headers["X-Custom"] == "kept"
        assert "X-Gone" not in response.headers
        assert await response.text() == BODY


@pytest.mark.parametrize("target", ["/a%2Fb/%21room?x=%2B+&y=a%20b&z", "/_matrix/client/v3/rooms/%21a%3Ab/x%2525"])
async def test_path_and_query_arrive_byte_for_byte(
    relay: RunningRelay, client: aiohttp.ClientSession, echo: Echo, target: str
) -> None:
    async with client.get(URL(relay.url + target, encoded=True)) as response:
        await response.read()
    assert echo.requests[0].path_qs == target or echo.requests[0].raw_path == target


async def test_headers_about_the_connection_stay_here(
    relay: RunningRelay, client: aiohttp.ClientSession, echo: Echo
) -> None:
    headers = {"Connection": "X-Mine", "X-Mine": "1", "TE": "trailers", "Authorization": "Bearer t", "Origin": "o"}
    async with client.get(f"{relay.url}/any", headers=headers) as response:
        await response.read()
    sent = echo.requests[0].headers
    assert {"X-Mine", "TE"}.isdisjoint(sent)
    assert (sent["Authorization"], sent["Origin"]) == ("Bearer t", "o")
    assert sent["Host"] == relay.url.removeprefix("http://")


async def test_a_stranger_cannot_say_where_it_comes_from(
    relay: RunningRelay, client: aiohttp.ClientSession, echo: Echo
) -> None:
    headers = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "Forwarded": "for=192.0.2.1"}
    async with client.get(f"{relay.url}/any", headers=headers) as response:
        await response.read()
    sent = echo.requests[0].headers
    assert sent.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert sent["X-Forwarded-Proto"] == "http"
    assert "Forwarded" not in sent


@pytest.mark.parametrize(("homeserver", "is_kept"), [("http://127.0.0.1:8008", True), ("https://matrix.org", False)])
async def test_a_homeserver_elsewhere_is_asked_for_by_its_own_name(homeserver: str, is_kept: bool) -> None:
    upstream = Upstream(homeserver)
    request = make_mocked_request("GET", "/_matrix/client/versions", headers={"Host": "relay.example.org"})
    assert ("Host" in Proxy(upstream, Proxies()).headers(request)) is is_kept
    await upstream.close()


async def test_an_answer_passes_before_its_end(relay: RunningRelay, client: aiohttp.ClientSession, echo: Echo) -> None:
    async with client.get(f"{relay.url}/stream") as response:
        assert await response.content.readany() == b"first"
        echo.go_on.set()
        assert await response.read() == b"second"


async def test_a_request_passes_before_its_end(relay: RunningRelay, client: aiohttp.ClientSession, echo: Echo) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await echo.begun.wait()
        yield b"second"

    async with client.post(f"{relay.url}/upload", data=body()) as response:
        assert await response.json() == {"length": 11}
    assert echo.bodies == [b"firstsecond"]


async def test_the_length_of_a_request_is_kept(relay: RunningRelay, client: aiohttp.ClientSession, echo: Echo) -> None:
    async with client.post(f"{relay.url}/upload", data=b"x" * 200_000) as response:
        await response.read()
    assert echo.requests[0].headers["Content-Length"] == "200000"
    assert len(echo.bodies[0]) == 200_000


async def test_what_is_compressed_stays_so(relay: RunningRelay, client: aiohttp.ClientSession, echo: Echo) -> None:
    async with client.get(f"{relay.url}/gzip") as response:
        assert gzip.decompress(await response.read()).decode() == BODY
    packed = gzip.compress(b"body")
    async with client.post(f"{relay.url}/upload", data=packed, headers={"Content-Encoding": "gzip"}) as response:
        await response.read()
    assert echo.bodies == [packed]


async def test_redirections_are_the_clients_business(relay: RunningRelay, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{relay.url}/redirect", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "/elsewhere")


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(
    relay: RunningRelay, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{relay.url}/broken") as response:
        with pytest.raises(aiohttp.ClientError):
            await response.read()


async def test_what_the_homeserver_does_not_answer_is_asked_once(
    relay: RunningRelay, client: aiohttp.ClientSession, echo: Echo
) -> None:
    async with client.get(f"{relay.url}/closed") as response:
        assert response.status == 502
    assert len(echo.requests) == 1


async def test_who_goes_away_takes_its_request_along(
    relay: RunningRelay, client: aiohttp.ClientSession, echo: Echo
) -> None:
    async def ask() -> None:
        async with client.get(f"{relay.url}/hang") as response:
            await response.read()

    asking = asyncio.create_task(ask())
    await echo.begun.wait()
    asking.cancel()
    await until(lambda: echo.is_cut, "the end of the request at the homeserver")


async def test_a_homeserver_that_does_not_answer_is_a_bad_gateway(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with RunningRelay("http://127.0.0.1:9", tmp_path / "lonely") as lonely:
        for path in ("/any", "/_matrix/client/versions", "/_matrix/client/v3/sync?since=s"):
            async with client.get(lonely.url + path) as response:
                assert response.status == 502
                assert (await response.json())["errcode"] == "M_UNKNOWN"
                assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("line", ["GET /any HTTP/1.1", "GET http://elsewhere.example.org:81/any?x=%2F HTTP/1.1"])
async def test_a_target_passes_with_its_host_if_it_has_one(relay: RunningRelay, echo: Echo, line: str) -> None:
    assert (await ask_raw(relay, line)).startswith(b"HTTP/1.1 418")
    assert echo.requests[0].raw_path == line.split()[1]


async def test_a_target_that_is_none_of_the_homeservers_is_refused(relay: RunningRelay, echo: Echo) -> None:
    for line in ("OPTIONS * HTTP/1.1", "GET ftp://elsewhere.example.org/ HTTP/1.1", "CONNECT elsewhere:80 HTTP/1.1"):
        assert (await ask_raw(relay, line)).startswith((b"HTTP/1.1 400", b"HTTP/1.1 404"))
    assert echo.requests == []


@pytest.mark.expected_log("Requests that cannot be parsed", times=(0, 1))
async def test_a_first_line_that_is_too_long_is_refused_with_a_status(relay: RunningRelay) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(b"GET /_matrix/client/v3/sync?filter=" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.0 400 ")
    writer.close()


async def test_an_expectation_that_nobody_knows_is_passed_over_as_synapse_does(relay: RunningRelay) -> None:
    answer = await ask_raw(relay, "PUT /any HTTP/1.1", "Expect: a-miracle", "Content-Length: 0")
    assert answer.startswith(b"HTTP/1.1 418")
    answer = await ask_raw(relay, "PUT /any HTTP/1.1", "Expect: 100-Continue", "Content-Length: 0")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 418")


async def ask_raw(relay: RunningRelay, *lines: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write("\r\n".join([*lines, "Host: relay", "Connection: close", "", ""]).encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_what_is_asked_while_the_relay_ends_is_not_answered() -> None:
    upstream = Upstream("http://127.0.0.1:9")
    await upstream.close()
    with pytest.raises(NotAnswered, match="was not answered"):
        await upstream.ask("GET", "/_matrix/client/versions", {})
