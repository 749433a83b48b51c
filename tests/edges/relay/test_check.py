"""`heliograph relay check` beside a real Synapse, with reverse proxies that lead clients right and wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from conftest import NewUser
from edges.relay.running import RunningRelay
from heliograph.core.finding import Finding, bad
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.relay.check import probe
from heliograph.relay.check.check import check_relay
from heliograph.relay.check.signing_in import Credentials
from heliograph.relay.config import RelayConfig

Lead = Callable[[str], str | web.Response]
"""Takes a path, and says where it leads: a base URL, or the answer."""


class ReverseProxy:
    """An async context manager."""

    def __init__(self, lead: Lead) -> None:
        self._lead = lead
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def __aenter__(self) -> ReverseProxy:
        self._client = aiohttp.ClientSession()
        self._runner = web.ServerRunner(web.Server(self._pass, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        await self._client.close()

    async def _pass(self, request: web.BaseRequest) -> web.Response:
        to = self._lead(request.path)
        if isinstance(to, web.Response):
            return to
        headers = {name: request.headers[name] for name in ("Authorization",) if name in request.headers}
        async with self._client.request(
            request.method, to + request.rel_url.raw_path_qs, data=await request.read(), headers=headers
        ) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")


async def findings(config: RelayConfig, user: DemoUser, public_url: str = "") -> list[Finding]:
    return [finding async for finding in check_relay(config, Credentials(token=user.access_token), public_url)]


async def pushers(user: DemoUser) -> list[object]:
    return list((await user.call("GET", "/pushers"))["pushers"])


async def test_a_gateway_that_the_homeserver_reaches_is_proved_and_nothing_is_left(
    relay: RunningRelay, synapse: ThrowawaySynapse, new_user: NewUser
) -> None:
    user = await new_user()
    config = RelayConfig(homeserver=synapse.base_url, listen=f"127.0.0.1:{relay.port}")
    found = await findings(config, user, relay.url)
    assert [each.is_good for each in found] == [True] * 5
    assert "reaches the gateway" in found[3].text
    assert found[4].text == f"The public address {relay.url} leads through the relay."
    assert await pushers(user) == []
    assert (await user.call("GET", "/joined_rooms"))["joined_rooms"] == []


async def test_an_address_that_the_homeserver_may_not_push_to_is_told_of(
    synapse: ThrowawaySynapse, new_user: NewUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "LOOKS", 4)
    user = await new_user()
    async with RunningRelay(synapse.base_url, tmp_path / "relay") as relay:
        pipe = await asyncio.start_server(lambda reader, writer: join(reader, writer, relay.port), "127.0.0.2", 0)
        async with pipe:
            port = pipe.sockets[0].getsockname()[1]
            url = f"http://127.0.0.2:{port}/_matrix/push/v1/notify"
            config = RelayConfig(homeserver=synapse.base_url, listen=f"127.0.0.1:{relay.port}", gateway_url=url)
            *others, last, _ = await findings(config, user, relay.url)
    assert others
    assert all(each.is_good for each in others)
    assert not last.is_good
    assert 'ip_range_whitelist: ["127.0.0.2/32"]' in last.cure
    assert await pushers(user) == []


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """The far end of a pipe to another port of this machine."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            target.write(data)
        target.close()

    await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer), return_exceptions=True)


async def test_where_nobody_answers_the_check_says_who(synapse: ThrowawaySynapse, new_user: NewUser) -> None:
    user = await new_user()
    (finding,) = await findings(RelayConfig(homeserver="http://127.0.0.1:9"), user)
    assert finding == bad(
        "No homeserver answers at http://127.0.0.1:9: GET /versions: no answer.", "Is `homeserver` right?"
    )
    *_, finding = await findings(RelayConfig(homeserver=synapse.base_url, listen="127.0.0.1:9"), user)
    assert finding.text == "No relay answers at 127.0.0.1:9."


async def test_a_request_that_the_public_address_leads_past_the_relay_is_named(
    relay: RunningRelay, synapse: ThrowawaySynapse, new_user: NewUser
) -> None:
    config = RelayConfig(homeserver=synapse.base_url, listen=f"127.0.0.1:{relay.port}")
    async with ReverseProxy(lambda path: synapse.base_url if path.endswith("/sync") else relay.url) as front:
        *others, last = await findings(config, await new_user(), front.url)
    assert all(each.is_good for each in others)
    assert last.text == f"At the public address {front.url} these go past the relay: GET /sync (status 200)."
    assert "location ^~ /_matrix/client/" in last.cure


async def test_a_step_that_fails_is_named_with_its_status(
    relay: RunningRelay, synapse: ThrowawaySynapse, new_user: NewUser
) -> None:
    def lead(path: str) -> str | web.Response:
        return web.Response(status=500) if "/receipt/" in path else synapse.base_url

    user = await new_user()
    async with ReverseProxy(lead) as inner:
        config = RelayConfig(homeserver=inner.url, listen=f"127.0.0.1:{relay.port}")
        *others, pushing, failing, past = await findings(config, user, inner.url)
    assert all(each.is_good for each in others)
    assert pushing.text == "The homeserver takes no receipt: POST /receipt: status 500."
    assert failing.text == f"At the public address {inner.url} these fail: POST /receipt (status 500)."
    assert "GET /sync (status 200)" in past.text
    assert await pushers(user) == []


async def test_where_an_authentication_service_signs_users_in_the_public_address_has_to_lead_there(
    relay: RunningRelay, synapse: ThrowawaySynapse, new_user: NewUser
) -> None:
    unknown = web.json_response({"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}, status=404)

    def lead_within(path: str) -> str | web.Response:
        """As Synapse answers where Matrix Authentication Service signs users in."""
        if path.endswith("/auth_metadata"):
            return web.json_response({"issuer": "https://auth.example.org/"})
        is_signing = path.rpartition("/")[2] in ("login", "logout", "refresh")
        return (
            web.Response(status=404, body=unknown.body, content_type="application/json")
            if is_signing
            else (synapse.base_url)
        )

    def lead(path: str) -> str:
        is_signing = path.rpartition("/")[2] in ("login", "logout", "refresh")
        return synapse.base_url if is_signing else relay.url

    user = await new_user()
    credentials = Credentials(user=user.user_id, password=user.password)
    async with ReverseProxy(lead_within) as inner, ReverseProxy(lead) as front:
        config = RelayConfig(homeserver=inner.url, listen=f"127.0.0.1:{relay.port}")
        found = [finding async for finding in check_relay(config, credentials, front.url)]
        assert [each.is_good for each in found] == [True] * 6
        assert found[-1].text == f"At the public address {front.url} the authentication service answers /login."
        *_, wrong = [finding async for finding in check_relay(config, Credentials(token=user.access_token), inner.url)]
        assert "GET /login: status 404" in wrong.text
        *_, refused = [finding async for finding in check_relay(config, credentials)]
        assert "sign in at its authentication service" in refused.text
        assert "issue-compatibility-token" in refused.cure
    assert len((await user.call("GET", "/devices"))["devices"]) == 1


async def test_without_a_public_address_the_check_says_that_it_did_not_look(
    relay: RunningRelay, synapse: ThrowawaySynapse, new_user: NewUser
) -> None:
    config = RelayConfig(homeserver=synapse.base_url, listen=f"127.0.0.1:{relay.port}")
    *_, last = await findings(config, await new_user())
    assert "was not looked at" in last.text
    assert "--public-url" in last.cure
