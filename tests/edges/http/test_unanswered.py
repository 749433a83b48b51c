"""Every way in which a request is not answered, against real sockets: what is said of it."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from heliograph.http.unanswered import word_unanswered

LONG_AGO = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
SINCE = datetime.datetime(2002, 1, 1, tzinfo=datetime.UTC)
FAR_OFF = datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC)
FARTHER = datetime.datetime(2201, 1, 1, tzinfo=datetime.UTC)
Serve = Callable[..., "asyncio.Future[int]"]


def certificate(
    folder: Path,
    *,
    name: str = "127.0.0.1",
    begins: datetime.datetime = LONG_AGO,
    ends: datetime.datetime = FAR_OFF,
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate of its own, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begins, ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


async def words(url: str, *, trust: ssl.SSLContext | bool = True, timeout_s: float = 20) -> str:
    """What is said of asking there."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as http:
        try:
            async with http.get(url, ssl=trust) as response:
                await response.read()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return word_unanswered(error)
    raise AssertionError("it was answered")


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., object]]:
    servers: list[asyncio.Server] = []

    async def start(answer: bytes | None = b"", context: ssl.SSLContext | None = None) -> int:
        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if answer is None:
                await reader.read()
            writer.write(answer or b"")
            writer.close()

        server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
        servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert await words(f"http://localhost:{port}") == f"nothing answers at localhost, port {port}"
    assert await words(f"https://127.0.0.1:{port}") == f"nothing answers at 127.0.0.1, port {port}"


async def test_a_name_that_nobody_knows() -> None:
    error = aiohttp.ClientConnectorDNSError
    assert "nowhere.invalid" in await words("https://nowhere.invalid")
    assert issubclass(error, aiohttp.ClientConnectorError)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (socket.EAI_NONAME, "the name example.org is not known"),
        (socket.EAI_NODATA, "the name example.org is not known"),
        (socket.EAI_AGAIN, "the name example.org cannot be looked up (is there a network?)"),
    ],
)
def test_what_the_resolver_says(code: int, said: str) -> None:
    key = aiohttp.client_reqrep.ConnectionKey("example.org", 443, True, True, None, None, None)
    assert word_unanswered(aiohttp.ClientConnectorDNSError(key, socket.gaierror(code, "x"))) == said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (101, "there is no way to example.org, port 443 (is there a network?)"),
        (113, "there is no way to example.org, port 443 (is there a network?)"),
        (110, "example.org, port 443 does not answer"),
        (104, "example.org, port 443 does not answer"),
        (13, "no connection to example.org, port 443 (Permission denied)"),
    ],
)
def test_what_the_kernel_says(code: int, said: str) -> None:
    key = aiohttp.client_reqrep.ConnectionKey("example.org", 443, True, True, None, None, None)
    reason = {13: "Permission denied"}.get(code, "x")
    assert word_unanswered(aiohttp.ClientConnectorError(key, OSError(code, reason))) == said


async def test_a_certificate_that_signs_itself(serve: Callable[..., object], tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    port = await serve(context=context)  # type: ignore[misc]
    assert await words(f"https://127.0.0.1:{port}") == "the certificate of 127.0.0.1 is not trusted (self-signed)"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"ends": SINCE}, "the certificate of 127.0.0.1 has expired"),
        (
            {"begins": FAR_OFF, "ends": FARTHER},
            "the certificate of 127.0.0.1 is not valid yet (is the clock of this machine right?)",
        ),
        ({"name": "127.0.0.9"}, "the certificate of 127.0.0.1 is for another name"),
    ],
)
async def test_a_certificate_that_is_trusted_and_does_not_fit(
    made: dict[str, object], said: str, serve: Callable[..., object], tmp_path: Path
) -> None:
    context, trust = certificate(tmp_path, **made)  # type: ignore[arg-type]
    port = await serve(context=context)  # type: ignore[misc]
    assert await words(f"https://127.0.0.1:{port}", trust=trust) == said


async def test_http_where_https_was_expected(serve: Callable[..., object]) -> None:
    port = await serve(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # type: ignore[misc]
    said = await words(f"https://127.0.0.1:{port}")
    assert said == f"what answers at 127.0.0.1, port {port} does not speak TLS (https)"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "the answer ended before its end"),
    ],
)
async def test_what_is_no_whole_answer(answer: bytes, said: str, serve: Callable[..., object]) -> None:
    assert await words(f"http://127.0.0.1:{await serve(answer)}") == said  # type: ignore[misc]


async def test_silence(serve: Callable[..., object]) -> None:
    assert await words(f"http://127.0.0.1:{await serve(None)}", timeout_s=0.1) == "no answer in time"  # type: ignore[misc]


async def test_no_address() -> None:
    assert await words("https://256.1.1.1/") == "that is no address that can be asked"


def test_what_a_stranger_says_cannot_command_the_terminal() -> None:
    said = word_unanswered(ValueError("\x1b[2J" + "x" * 1000))
    assert said.isprintable()
    assert len(said) < 300
