from __future__ import annotations

import datetime
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edges.login_server import LoginServer
from heliograph.errors import UserError
from heliograph.homeserver.discovery import check_homeserver, find_homeserver


class Internet(AbstractResolver):
    """Every name is this machine, and a web server on it answers with TLS to example.org as the test says."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        self._port = port
        self._trust = trust
        self.answers: dict[str, tuple[int, str | bytes, dict[str, str]]] = {}
        self.hosts: list[str] = []
        self.cookies: list[str | None] = []
        """What each request brought."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        self.hosts.append(host)
        return [ResolveResult(hostname=host, host="127.0.0.1", port=self._port, family=2, proto=0, flags=0)]

    async def close(self) -> None:
        return

    @property
    def connector(self) -> aiohttp.BaseConnector:
        return aiohttp.TCPConnector(resolver=self, ssl=self._trust, use_dns_cache=False)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.cookies.append(request.headers.get("Cookie"))
        status, body, headers = self.answers.get(request.path, (404, "", {}))
        return web.Response(status=status, body=body.encode() if isinstance(body, str) else body, headers=headers)

    def well_known(self, text: str | bytes, status: int = 200, **headers: str) -> None:
        self.answers["/.well-known/matrix/client"] = status, text, headers


def pointing_to(base_url: str) -> str:
    return json.dumps({"m.homeserver": {"base_url": base_url}, "m.other": 3})


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For example.org and www.example.org, with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.org")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("example.org"), x509.DNSName("www.example.org")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "example.org.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
async def internet(certificate: Path) -> AsyncIterator[Internet]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    internet = Internet(0, ssl.create_default_context(cafile=str(certificate)))
    runner = web.ServerRunner(web.Server(internet.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    internet._port = runner.addresses[0][1]
    yield internet
    await runner.cleanup()


@pytest.fixture
def homeserver() -> Iterator[LoginServer]:
    with LoginServer() as server:
        yield server


async def test_the_homeserver_named_in_well_known_is_used(internet: Internet, homeserver: LoginServer) -> None:
    internet.well_known(pointing_to(f"{homeserver.url}/"))
    assert await find_homeserver("example.org", internet.connector) == homeserver.url


async def test_the_port_of_a_server_name_is_not_where_well_known_is(
    internet: Internet, homeserver: LoginServer
) -> None:
    internet.well_known(pointing_to(homeserver.url))
    assert await find_homeserver("example.org:8448", internet.connector) == homeserver.url
    assert internet.hosts == ["example.org"]


async def test_redirects_over_https_are_followed(internet: Internet, homeserver: LoginServer) -> None:
    internet.well_known("", 302, Location="/elsewhere")
    internet.answers["/elsewhere"] = 200, pointing_to(homeserver.url), {}
    assert await find_homeserver("example.org", internet.connector) == homeserver.url


async def test_a_cookie_goes_to_none_to_which_a_redirect_leads(internet: Internet, homeserver: LoginServer) -> None:
    cookie = {"Set-Cookie": "tracked=yes; Domain=example.org; Path=/"}
    internet.well_known("", 302, Location="https://www.example.org/elsewhere", **cookie)
    internet.answers["/elsewhere"] = 302, "", {"Location": "https://example.org/there", **cookie}
    internet.answers["/there"] = 200, pointing_to(homeserver.url), cookie
    assert await find_homeserver("example.org", internet.connector) == homeserver.url
    assert internet.cookies == [None] * 3


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://example.org/elsewhere", "not https"),
        ("file:///etc/passwd", "not https"),
        ("/.well-known/matrix/client", "more than 5 times"),
    ],
)
async def test_other_redirects_are_refused(internet: Internet, location: str, why: str) -> None:
    internet.well_known("", 301, Location=location)
    with pytest.raises(UserError, match=why):
        await find_homeserver("example.org", internet.connector)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not name a homeserver"),
        ("<html>", "does not name a homeserver"),
        (b"\xff", "does not name a homeserver"),
        ("[]", "does not name a homeserver"),
        ("{}", "does not name a homeserver"),
        ('{"m.homeserver": {}}', "does not name a homeserver"),
        ('{"m.homeserver": {"base_url": 5}}', "does not name a homeserver"),
        ("[" * 60_000, "does not name a homeserver"),
        (" " * 100_000, "far too large"),
        ('{"m.homeserver": {"base_url": "ftp://example.org"}}', "cannot be used"),
        ('{"m.homeserver": {"base_url": "http://example.org"}}', "not encrypted"),
        ('{"m.homeserver": {"base_url": "https://u:p@example.org"}}', "no user name"),
        ('{"m.homeserver": {"base_url": "https://[::"}}', "cannot be used"),
        ('{"m.homeserver": {"base_url": "https://127.0.0.1:1"}}', "cannot be reached"),
    ],
)
async def test_a_broken_well_known_is_named_with_a_way_out(internet: Internet, text: str | bytes, why: str) -> None:
    internet.well_known(text)
    with pytest.raises(UserError, match=why) as refusal:
        await find_homeserver("example.org", internet.connector)
    assert "--homeserver" in refusal.value.hint


@pytest.mark.parametrize("status", [204, 403, 500, 503])
async def test_only_a_404_means_that_there_is_no_well_known(internet: Internet, status: int) -> None:
    internet.well_known("", status)
    with pytest.raises(UserError, match=f"HTTP {status}"):
        await find_homeserver("example.org", internet.connector)


async def test_without_well_known_the_server_name_itself_is_asked(internet: Internet) -> None:
    # Nothing listens on that port, whatever this machine can resolve.
    with pytest.raises(UserError, match=r"homeserver at https://localhost:1 cannot be reached"):
        await find_homeserver_ignoring_names(internet)


async def find_homeserver_ignoring_names(internet: Internet) -> str:
    trust = ssl.create_default_context()
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE
    internet._trust = trust
    return await find_homeserver("localhost:1", internet.connector)


async def test_a_certificate_for_another_name_is_not_trusted(internet: Internet) -> None:
    with pytest.raises(UserError, match="cannot be reached"):
        await find_homeserver("evil.example", internet.connector)


@pytest.mark.parametrize(
    "answer",
    [
        (200, "<html>"),
        (200, {}),
        (200, {"versions": []}),
        (200, {"versions": "v1.1"}),
        (200, []),
        (404, "no"),
        (502, ""),
    ],
)
async def test_what_is_no_homeserver_is_not_taken_for_one(homeserver: LoginServer, answer: tuple[int, Any]) -> None:
    homeserver.answers["GET /versions"] = answer
    with pytest.raises(UserError, match="no Matrix homeserver"):
        await check_homeserver(homeserver.url)


@pytest.mark.parametrize("url", ["http://example.org", "example.org", "https://", "ftp://x", "https://x?y"])
async def test_a_url_that_tokens_must_not_go_to_is_refused_before_any_request(url: str) -> None:
    with pytest.raises(UserError):
        await check_homeserver(url)
