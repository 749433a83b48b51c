"""One push to a push gateway, by real sockets: only to permitted addresses, bounded, and never further than asked."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from heliograph.relay.model.outcome import Deferred, Delivered, Outcome, PushRefused
from heliograph.relay.queue.forwarding import LARGEST_ANSWER, Forwarder
from heliograph.relay.queue.targets import NOTIFY_PATH, CheckedResolver, TargetPolicy

HERE = TargetPolicy(has_http_loopback=True)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names(AbstractResolver):
    """A name server that answers each question with the next of its answers, and the last for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.questions = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.questions += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def gateway(handler: Handler) -> AsyncIterator[str]:
    """The URL of a gateway that answers like this."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(application) as server:
        yield str(server.make_url(NOTIFY_PATH))


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port, and what its callers said first."""
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@asynccontextmanager
async def forwarder(
    policy: TargetPolicy = HERE, names: Names | None = None, answer_s: float = 10
) -> AsyncIterator[Forwarder]:
    resolver = CheckedResolver(policy, names) if names is not None else None
    made = Forwarder(policy, answer_s=answer_s, resolver=resolver)
    try:
        yield made
    finally:
        await made.close()


async def send(handler: Handler, *, answer_s: float = 10) -> Outcome:
    async with gateway(handler) as url, forwarder(answer_s=answer_s) as made:
        return await made.send(url, "phone", b'{"notification": {}}')


class TestAnswers:
    async def test_the_push_arrives_as_a_plain_json_post(self) -> None:
        seen: list[tuple[str, str, bytes, str | None]] = []

        async def take(request: web.Request) -> web.Response:
            seen.append((request.method, request.content_type, await request.read(), request.headers.get("Cookie")))
            response = web.json_response({"rejected": []})
            response.set_cookie("a", "b")
            return response

        async with gateway(take) as url, forwarder() as made:
            assert await made.send(url, "phone", b'{"a": 1}') == Delivered()
            assert await made.send(url, "phone", b'{"a": 1}') == Delivered()
        assert seen == [("POST", "application/json", b'{"a": 1}', None)] * 2

    async def test_a_redirect_is_not_followed(self) -> None:
        requests: list[str] = []

        async def redirect(request: web.Request) -> web.Response:
            requests.append(request.path)
            return web.Response(status=307, headers={"Location": "/elsewhere"})

        assert isinstance(await send(redirect), PushRefused)
        assert requests == [NOTIFY_PATH]

    async def test_a_gateway_that_says_nothing_is_given_up(self) -> None:
        async def hang(_: web.Request) -> web.Response:
            await asyncio.sleep(30)
            return web.Response()

        assert await send(hang, answer_s=0.05) == PushRefused("no answer in time")

    async def test_an_answer_that_drips_is_given_up(self) -> None:
        async def drip(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(1000):
                await response.write(b" ")
                await asyncio.sleep(0.01)
            return response

        assert await send(drip, answer_s=0.1) == PushRefused("no answer in time")

    async def test_an_answer_without_end_is_not_read_to_it(self) -> None:
        async def flood(_: web.Request) -> web.Response:
            return web.Response(body=b" " * (LARGEST_ANSWER + 1))

        assert await send(flood) == PushRefused("an answer without end")

    @pytest.mark.parametrize(
        ("encoding", "pack"),
        [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress), ("deflate", bare_deflate)],
    )
    async def test_a_compressed_answer_is_understood(self, encoding: str, pack: Callable[[bytes], bytes]) -> None:
        async def reject(_: web.Request) -> web.Response:
            body = pack(b'{"rejected": ["phone"]}')
            return web.Response(body=body, content_type="application/json", headers={"Content-Encoding": encoding})

        assert await send(reject) == Delivered(is_rejected=True)

    async def test_a_small_answer_that_unpacks_to_a_large_one_is_not_unpacked_to_its_end(self) -> None:
        async def bomb(_: web.Request) -> web.Response:
            body = gzip.compress(b" " * 1_000_000)
            return web.Response(body=body, content_type="text/html", headers={"Content-Encoding": "gzip"})

        assert isinstance(await send(bomb), PushRefused)

    async def test_an_answer_in_an_encoding_that_nobody_knows_rings_once(self) -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(body=b"?", content_type="application/json", headers={"Content-Encoding": "br"})

        assert await send(answer) == Delivered()

    async def test_a_connection_that_breaks_is_tried_again(self) -> None:
        async with listener() as (port, _), forwarder() as made:
            outcome = await made.send(f"http://127.0.0.1:{port}{NOTIFY_PATH}", "phone", b"{}")
        assert isinstance(outcome, PushRefused)

    async def test_a_gateway_that_is_down_is_tried_again_and_its_url_is_not_told(self) -> None:
        async with listener() as (port, _):
            pass
        async with forwarder() as made:
            outcome = await made.send(f"http://127.0.0.1:{port}{NOTIFY_PATH}?secret=1", "phone", b"{}")
        assert outcome == Deferred("no connection (ClientConnectorError)")


class TestTargets:
    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%lo"]
    )
    async def test_a_name_that_leads_inside_is_never_connected_to(self, address: str) -> None:
        async with listener() as (port, heard), forwarder(TargetPolicy(), Names([address])) as made:
            outcome = await made.send(f"https://gateway.example:{port}{NOTIFY_PATH}", "phone", b"{}")
        assert outcome == Deferred("its name leads to no public address")
        assert heard == []

    async def test_a_name_is_asked_once_so_that_a_second_answer_cannot_lead_inside(self) -> None:
        names = Names(["192.0.2.255"], ["127.0.0.1"])
        policy = TargetPolicy(allowed=(ip_network("192.0.2.0/24"),))
        async with listener() as (port, heard), forwarder(policy, names, answer_s=0.2) as made:
            assert isinstance(await made.send(f"https://gateway.example:{port}{NOTIFY_PATH}", "phone", b"{}"), Deferred)
            assert names.questions == 1
            # The next push asks again, and is told the address inside.
            outcome = await made.send(f"https://gateway.example:{port}{NOTIFY_PATH}", "phone", b"{}")
        assert outcome == Deferred("its name leads to no public address")
        assert heard == []

    async def test_of_several_addresses_the_permitted_ones_are_used(self) -> None:
        policy = TargetPolicy(allowed=(ip_network("127.0.0.1"),))
        async with listener() as (port, heard), forwarder(policy, Names(["10.0.0.1", "127.0.0.1"])) as made:
            await made.send(f"https://gateway.example:{port}{NOTIFY_PATH}", "phone", b"{}")
        # The first bytes of TLS.
        assert [words[:2] for words in heard] == [b"\x16\x03"]

    async def test_http_goes_to_this_machine_and_named_networks_only_and_only_by_configuration(self) -> None:
        async with listener() as (port, heard):
            url = f"http://127.0.0.1:{port}{NOTIFY_PATH}"
            async with forwarder(TargetPolicy()) as made:
                assert isinstance(await made.send(url, "phone", b"{}"), Deferred)
            async with forwarder(TargetPolicy(allowed=(ip_network("10.0.0.0/8"),))) as made:
                assert isinstance(await made.send(url, "phone", b"{}"), Deferred)
            assert heard == []
            for policy in (HERE, TargetPolicy(allowed=(ip_network("127.0.0.0/8"),))):
                async with forwarder(policy) as made:
                    await made.send(url, "phone", b"{}")
            assert [words[:4] for words in heard] == [b"POST", b"POST"]
