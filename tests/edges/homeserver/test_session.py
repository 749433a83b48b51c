"""Every way in which a homeserver, or what stands in its place, can fail to answer."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from edges.homeserver.conftest import Handler, Serve
from fakes.access_tokens import FakeAccessTokens
from heliograph import __version__
from heliograph.core.ids import UserId
from heliograph.errors import (
    AccountLocked,
    AnswerTooLarge,
    BadAnswer,
    LoggedOut,
    RateLimited,
    Refused,
    ServerError,
    TokenRefused,
    Unreachable,
    UserError,
)
from heliograph.homeserver.session import Session


def answering(body: str | bytes, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        content = body.encode() if isinstance(body, str) else body
        return web.Response(body=content, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


def speaking(*said: bytes, then_close: bool) -> Callable[[], Awaitable[tuple[asyncio.Server, str]]]:
    """A server that reads a request, says these bytes as they are, and closes, or never says more."""

    async def start() -> tuple[asyncio.Server, str]:
        async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                for piece in said:
                    writer.write(piece)
                    await writer.drain()
                if not then_close:
                    with contextlib.suppress(asyncio.CancelledError):  # the test may end first
                        await reader.read()
            finally:
                writer.close()

        server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
        return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    return start


def self_signed() -> ssl.SSLContext:
    """For a server that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as pem:
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem.write(private + certificate.public_bytes(Encoding.PEM))
        pem.flush()
        context.load_cert_chain(pem.name)
    return context


async def test_an_answer_is_given_as_it_came(serve: Serve) -> None:
    session = await serve(answering('{"a": 1}'))
    assert await session.request("GET", "/x") == b'{"a": 1}'
    assert await session.request_json("GET", "/x") == {"a": 1}


async def test_a_request_says_who_makes_it(serve: Serve) -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"got": (await request.read()).decode()})

    session = await serve(handler)
    query = {"filter": '{"room":{"rooms":["!a:b"]}}', "q": "a+b c&d=é/?"}
    answer = await session.request_json("POST", "/r/%21a%2Fb%3Fc", query=query, body={"k": "ü"})
    assert answer == {"got": '{"k":"ü"}'}
    [request] = seen
    assert request.headers["Authorization"] == "Bearer tok"
    assert request.headers["User-Agent"] == f"Heliograph/{__version__}"
    assert request.raw_path.startswith("/r/%21a%2Fb%3Fc?")
    assert dict(request.query) == query


async def test_nobody_sends_no_token(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"authorization": request.headers.get("Authorization")})

    session = await serve(handler)
    nobody = Session(session.homeserver_url)
    assert await nobody.request_json("GET", "/x") == {"authorization": None}
    nobody.sign_in(access_token="new", user_id=UserId("@me:x"), device_id="D2")
    assert await nobody.request_json("GET", "/x") == {"authorization": "Bearer new"}
    assert (nobody.user_id, nobody.device_id, nobody.access_token) == ("@me:x", "D2", "new")
    await nobody.close()


async def test_a_redirect_is_not_followed(serve: Serve) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    session = await serve(handler)
    with pytest.raises(BadAnswer, match="redirected to /elsewhere"):
        await session.request("GET", "/x")
    assert seen == ["/x"]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413])
async def test_a_definite_no_tells_its_code_and_reason(serve: Serve, status: int) -> None:
    session = await serve(answering('{"errcode": "M_NOPE", "error": "not\\u001b[31m you"}', status))
    with pytest.raises(Refused) as caught:
        await session.request("GET", "/x")
    assert (caught.value.status, caught.value.errcode) == (status, "M_NOPE")
    assert str(caught.value) == f"refused with HTTP {status}: M_NOPE not[31m you"


@pytest.mark.parametrize("body", ["{}", '{"errcode": 5, "error": ["x"]}'])
async def test_a_no_without_a_code_is_still_a_no(serve: Serve, body: str) -> None:
    session = await serve(answering(body, 404))
    with pytest.raises(Refused) as caught:
        await session.request("GET", "/x")
    assert caught.value.errcode == ""


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, '{"errcode": "M_UNKNOWN", "error": "boom"}'),
        (502, "<html><h1>Bad Gateway</h1></html>"),
        (503, ""),
        (504, "\x00\x1b[2J"),
        (404, "404 page not found"),
        (403, "<html>captive portal</html>"),
        (401, "nope"),
        (408, '{"errcode": "M_UNKNOWN"}'),
        (400, "[1]"),
        (404, '{"a":' * 100_000),
    ],
)
async def test_what_no_homeserver_says_is_unreachable(serve: Serve, status: int, body: str) -> None:
    session = await serve(answering(body, status))
    with pytest.raises(BadAnswer) as caught:
        await session.request("GET", "/x")
    assert caught.value.status == status
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("body", ["<html>log in to this wifi</html>", "", '{"a": 1', "nul", b"\xff\xfe", "[" * 100_000])
async def test_json_is_expected_of_a_success(serve: Serve, body: str | bytes) -> None:
    session = await serve(answering(body))
    with pytest.raises(BadAnswer):
        await session.request_json("GET", "/x")


@pytest.mark.parametrize(
    ("headers", "body", "after"),
    [
        ({}, '{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}', 2.5),
        ({"Retry_After": "7"}, '{"retry_after_ms": 2500}', 7.0),
        ({"Retry_After": "7"}, "<html>slow down</html>", 7.0),
        (
            {"Retry_After": "Fri, 20 Nov 2026 10:00:30 GMT", "Date": "Fri, 20 Nov 2026 10:00:00 GMT"},
            "",
            30.0,
        ),
        (
            {"Retry_After": "Fri, 20 Nov 2026 09:00:30 GMT", "Date": "Fri, 20 Nov 2026 10:00:00 GMT"},
            "",
            0.0,
        ),
        ({"Retry_After": "1e9"}, "", 600.0),
        ({"Retry_After": "inf"}, "", 600.0),
        ({"Retry_After": "-3"}, "", 0.0),
        ({"Retry_After": "nan"}, "", None),
        ({"Retry_After": "soon"}, "", None),
        ({}, '{"retry_after_ms": "2500"}', None),
        ({}, '{"retry_after_ms": true}', None),
        ({}, '{"retry_after_ms": 1' + "0" * 300 + "}", 600.0),
        ({}, "", None),
    ],
)
async def test_a_limit_says_when_to_come_back(
    serve: Serve, headers: dict[str, str], body: str, after: float | None
) -> None:
    session = await serve(answering(body, 429, **headers))
    with pytest.raises(RateLimited) as caught:
        await session.request("GET", "/x")
    assert caught.value.after == after


@pytest.mark.parametrize(
    ("body", "soft"),
    [
        ('{"errcode": "M_UNKNOWN_TOKEN"}', False),
        ('{"errcode": "M_UNKNOWN_TOKEN", "soft_logout": true}', True),
        ('{"errcode": "M_UNKNOWN_TOKEN", "soft_logout": "yes"}', False),
    ],
)
async def test_a_token_that_is_no_longer_good_is_a_logout(serve: Serve, body: str, soft: bool) -> None:
    session = await serve(answering(body, 401))
    with pytest.raises(LoggedOut) as caught:
        await session.request("GET", "/x")
    assert caught.value.soft is soft


@pytest.mark.parametrize(("status", "errcode"), [(401, "M_FORBIDDEN"), (403, "M_UNKNOWN_TOKEN")])
async def test_only_a_401_about_the_token_is_a_logout(serve: Serve, status: int, errcode: str) -> None:
    session = await serve(answering(f'{{"errcode": "{errcode}"}}', status))
    with pytest.raises(Refused):
        await session.request("GET", "/x")


@pytest.mark.parametrize("body", ['{"errcode": "M_MISSING_TOKEN"}', '{"error": "who are you?"}', "<html>", "", "[]"])
async def test_a_401_that_does_not_name_the_token_is_the_answer_of_something_between(serve: Serve, body: str) -> None:
    """A proxy that drops the access token, or asks for a password of its own."""
    session = await serve(answering(body, 401))
    with pytest.raises(BadAnswer) as caught:
        await session.request("GET", "/x")
    assert caught.value.status == 401


async def test_a_locked_account_is_no_logout_though_it_looks_like_a_soft_one(serve: Serve) -> None:
    session = await serve(answering('{"errcode": "M_USER_LOCKED", "soft_logout": true}', 401))
    with pytest.raises(AccountLocked):
        await session.request("GET", "/x")


async def test_an_answer_over_its_limit_is_not_read_to_its_end(serve: Serve) -> None:
    session = await serve(answering(b"x" * 20_000_000))
    with pytest.raises(AnswerTooLarge):
        await session.request("GET", "/x")


async def test_a_compressed_answer_is_bounded_by_what_it_unpacks_to(serve: Serve) -> None:
    session = await serve(answering(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip"))
    with pytest.raises(AnswerTooLarge):
        await session.request("GET", "/x", limit=1_000_000)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: ",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x00\x01\x02",
        b"",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 302 \r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad\r\nContent-Length: 100\r\n\r\n<html",
    ],
)
async def test_an_answer_that_breaks_off_is_unreachable(said: bytes) -> None:
    server, url = await speaking(said, then_close=True)()
    session = Session(url)
    with pytest.raises(Unreachable) as caught:
        await session.request("GET", "/x")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    await session.close()
    server.close()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 200"])
async def test_an_answer_that_does_not_end_is_unreachable(said: bytes) -> None:
    server, url = await speaking(said, then_close=False)()
    session = Session(url)
    with pytest.raises(Unreachable, match="no answer in time"):
        await session.request("GET", "/x", timeout_s=0.05)
    await session.close()
    server.close()


@pytest.mark.expected_log("Error handling request from 127.0.0.1", times=(0, 1))
async def test_a_drip_does_not_hold_a_request_open(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.005)

    session = await serve(handler)
    with pytest.raises(Unreachable, match="no answer in time"):
        await session.request("GET", "/x", timeout_s=0.1)


async def test_a_large_answer_may_take_longer_than_its_deadline_while_it_keeps_coming(serve: Serve) -> None:
    first_part_read = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"[" + b" " * 200_000)
        await first_part_read.wait()
        await response.write(b"]")
        return response

    session = await serve(handler)
    request = asyncio.create_task(session.request("GET", "/x", timeout_s=0.2))
    await asyncio.sleep(0.4)
    first_part_read.set()
    assert len(await request) == 200_002


async def test_nothing_listening_is_unreachable() -> None:
    server, url = await speaking(then_close=True)()
    server.close()
    await server.wait_closed()
    session = Session(url)
    with pytest.raises(Unreachable, match="nothing answers at"):
        await session.request("GET", "/x")
    await session.close()


async def test_an_unknown_name_is_unreachable() -> None:
    session = Session("https://homeserver.invalid")
    with pytest.raises(Unreachable, match=r"homeserver\.invalid"):
        await session.request("GET", "/x")
    await session.close()


async def test_a_certificate_that_is_not_trusted_is_unreachable() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=self_signed())
    session = Session(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", access_token="tok")
    with pytest.raises(Unreachable, match=r"the certificate of 127\.0\.0\.1 is not trusted"):
        await session.request("GET", "/x")
    await session.close()
    server.close()


async def test_a_server_that_speaks_no_tls_is_unreachable(serve: Serve) -> None:
    session = await serve(answering("{}"))
    secure = Session(session.homeserver_url.replace("http:", "https:"))
    with pytest.raises(Unreachable):
        await secure.request("GET", "/x")
    await secure.close()


async def test_dropped_connections_end_a_running_request_and_the_next_one_works(serve: Serve) -> None:
    arrived = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/poll":
            arrived.set()
            await asyncio.sleep(60)
        return web.json_response({})

    session = await serve(handler)
    poll = asyncio.create_task(session.request("GET", "/poll"))
    await arrived.wait()
    await session.drop_connections()
    with pytest.raises(Unreachable, match="dropped"):
        await poll
    assert await session.request("GET", "/x") == b"{}"


@pytest.mark.parametrize(("once", "count"), [(True, 1), (False, 2)])
async def test_a_request_that_is_made_once_is_not_repeated_where_its_connection_ends(
    serve: Serve, *, once: bool, count: int
) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        assert request.transport is not None
        request.transport.close()
        return web.json_response({})

    session = await serve(handler)
    with pytest.raises(Unreachable, match="closed without an answer"):
        await session.request("GET", "/poll", once=once)
    assert len(asked) == count


async def test_nothing_listening_is_told_of_a_request_that_is_made_once_too() -> None:
    session = Session("http://127.0.0.1:1")
    with pytest.raises(Unreachable, match="nothing answers at"):
        await session.request("GET", "/poll", once=True)
    await session.close()


async def test_a_dropped_connection_is_not_used_again(serve: Serve) -> None:
    ports: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.json_response({})

    session = await serve(handler)
    await session.request("GET", "/x")
    await session.request("GET", "/x")
    await session.drop_connections()
    await session.request("GET", "/x")
    assert ports[0] == ports[1] != ports[2]


async def test_a_cancelled_request_stays_cancelled(serve: Serve) -> None:
    arrived = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        arrived.set()
        await asyncio.sleep(60)
        return web.json_response({})

    session = await serve(handler)
    request = asyncio.create_task(session.request("GET", "/x"))
    await arrived.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_closed_session_makes_no_requests(serve: Serve) -> None:
    session = await serve(answering("{}"))
    await session.close()
    await session.close()
    with pytest.raises(ServerError):
        await session.request("GET", "/x")


@pytest.mark.parametrize(
    "url",
    [
        "http://matrix.example.org",
        "http://127.0.0.1.example.org",
        "http://10.0.0.1",
        "ftp://example.org",
        "example.org",
        "https://",
        "https://u:p@example.org",
        "https://@example.org",
        "http://localhost@example.org",
        "http://localhost\\@example.org",
        "http://127.0.0.1:80@example.org",
        "//localhost",
        "https:///path",
        "https://example.org/?",
        "https://example.org/?a=b",
        "https://example.org/#x",
        "https://exa mple.org",
        "https://example.org\n",
        "https://[::1",
        "https://example.org:99999",
        "",
    ],
)
def test_a_token_is_not_sent_just_anywhere(url: str) -> None:
    with pytest.raises(UserError):
        Session(url)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.org/", "https://example.org"),
        ("https://example.org/base/", "https://example.org/base"),
        ("https://EXAMPLE.org:8448", "https://example.org:8448"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example"),
        ("http://localhost:8008", "http://localhost:8008"),
        ("http://[::1]:1", "http://[::1]:1"),
        ("http://127.1.2.3", "http://127.1.2.3"),
    ],
)
def test_https_and_this_machine_are_good_addresses(url: str, kept: str) -> None:
    assert Session(url).homeserver_url == kept


async def test_that_a_token_is_refused_is_told_whoever_asked(serve: Serve) -> None:
    told: list[str] = []
    session = await serve(
        answering('{"errcode": "M_UNKNOWN_TOKEN", "error": "no"}', status=401),
        on_logged_out=lambda: told.append("logged out"),
    )
    with pytest.raises(LoggedOut):
        await session.request("GET", "/_matrix/client/v3/pushers")
    assert told == ["logged out"]


def expired(token: str) -> web.Response:
    error = {"errcode": "M_UNKNOWN_TOKEN", "error": f"{token} is not active", "soft_logout": False}
    return web.json_response(error, status=401)


class Wanting:
    """A homeserver that takes one token, and remembers which it was sent."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self.sent: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.sent.append(token)
        return web.json_response({}) if token == self.wanted else expired(token)


async def test_a_refused_token_is_renewed_once_and_the_request_repeated_once(serve: Serve) -> None:
    homeserver, tokens, ends = Wanting("token 2"), FakeAccessTokens(), list[str]()
    url = (await serve(homeserver.answer)).homeserver_url
    session = Session(url, tokens=tokens, on_logged_out=lambda: ends.append("signed out"))
    await session.request("POST", "/x", body={}, once=True)
    assert homeserver.sent == ["token 1", "token 2"]
    assert tokens.accepted == ["token 2"]
    assert session.access_token == "token 2"

    homeserver.wanted = "none"
    with pytest.raises(TokenRefused):
        await session.request("GET", "/x")
    assert homeserver.sent == ["token 1", "token 2", "token 2", "token 3"]
    with pytest.raises(TokenRefused):
        await session.request("GET", "/x")
    assert homeserver.sent[4:] == ["token 3"]
    assert tokens.asked == 2
    assert ends == []
    await session.close()


async def test_only_the_token_endpoint_ends_a_session_whose_tokens_are_renewed(serve: Serve) -> None:
    tokens, ends = FakeAccessTokens(), list[str]()
    session = Session(
        (await serve(Wanting("none").answer)).homeserver_url,
        tokens=tokens,
        on_logged_out=lambda: ends.append("signed out"),
    )
    tokens.trouble = LoggedOut(soft=True)
    with pytest.raises(LoggedOut) as gone:
        await session.request("GET", "/x")
    assert gone.value.soft
    assert ends == ["signed out"]
    await session.close()


async def test_without_a_token_nothing_is_sent(serve: Serve) -> None:
    homeserver, tokens = Wanting("token 1"), FakeAccessTokens()
    session = Session((await serve(homeserver.answer)).homeserver_url, tokens=tokens)
    tokens.pass_time(300)
    tokens.trouble = Unreachable("the token endpoint does not answer")
    with pytest.raises(Unreachable, match="token endpoint"):
        await session.request("GET", "/x")
    assert homeserver.sent == []
    await session.close()


async def test_a_locked_account_is_no_matter_of_its_token(serve: Serve) -> None:
    tokens = FakeAccessTokens()
    locked = answering('{"errcode": "M_USER_LOCKED", "soft_logout": true}', 401)
    session = Session((await serve(locked)).homeserver_url, tokens=tokens)
    with pytest.raises(AccountLocked):
        await session.request("GET", "/x")
    assert tokens.asked == 0
    await session.close()
