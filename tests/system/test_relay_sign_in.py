"""Users sign in at an authentication service, which stands beside the relay: a real Synapse with an auth server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from yarl import URL

from edges.relay.running import Device, RunningRelay
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser, request
from heliograph.errors import Refused
from heliograph.relay.check.check import check_relay
from heliograph.relay.check.signing_in import Credentials
from heliograph.relay.config import RelayConfig
from support.auth_server.server import AuthServer
from support.guarded_synapse import GuardedSynapse
from support.recipes import HOMESERVER, PROGRAMS, RELAY, SIGNING, recipe_with_authentication_service
from support.reverse_proxy import ReverseProxy
from support.waiting import until
from system.command import heliograph
from system.relay_bypass import Place

PASSWORD = "typed"
PASSWORDS = {"nginx": PASSWORD, "caddy": PASSWORD, "olga": PASSWORD}
"""A user for each reverse proxy, and one who signs in by a code."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def auth_server() -> AsyncIterator[AuthServer]:
    with AuthServer(PASSWORDS) as auth_server:
        async with GuardedSynapse(settings=auth_server.synapse_settings) as synapse:
            auth_server.homeserver_url = auth_server.synapse_url = synapse.base_url
            yield auth_server


@pytest.fixture(params=PROGRAMS)
async def place(request: pytest.FixtureRequest, auth_server: AuthServer, tmp_path: Path) -> AsyncIterator[Place]:
    relay = RunningRelay(auth_server.synapse_url, tmp_path / "relay")
    homeserver, service = URL(auth_server.synapse_url).port, URL(auth_server.url).port
    assert homeserver is not None
    assert service is not None
    ports = {RELAY: relay.port, HOMESERVER: homeserver, SIGNING: service}
    text = recipe_with_authentication_service(request.param)
    async with relay, ReverseProxy(request.param, text, ports, tmp_path / "proxy") as front:
        yield Place(front, relay, RelayConfig(homeserver=auth_server.synapse_url, listen=f"127.0.0.1:{relay.port}"))


async def sign_in(url: str, localpart: str) -> DemoUser:
    """By the older way, which the authentication service answers in the homeserver's place."""
    identifier = {"type": "m.id.user", "user": localpart}
    body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    answer = await request("POST", f"{url}/_matrix/client/v3/login", body)
    return DemoUser(url, answer["user_id"], answer["device_id"], answer["access_token"], PASSWORD)


async def test_signing_in_and_out_goes_to_the_service_and_all_else_through_the_relay(
    place: Place, auth_server: AuthServer, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["place"]
    user = await sign_in(place.front.url, name)
    desktop = await Device.begin(user, place.front)
    await desktop.become_direct()
    assert place.relay.relay.state.registry.is_direct(user.user_id, user.device_id)

    credentials = Credentials(user=user.user_id, password=PASSWORD)
    found = [each async for each in check_relay(place.config, credentials, place.front.url)]
    assert [each.text for each in found if not each.is_good] == []
    assert found[-1].text == f"At the public address {place.front.url} the authentication service answers /login."
    # That of the check itself was ended again.
    assert [each.device_id for each in auth_server.sessions.of(name)] == [user.device_id]

    await user.logout()
    assert auth_server.sessions.of(name) == []
    with pytest.raises(Refused) as refusal:
        await user.call("GET", "/account/whoami")
    assert refusal.value.status == 401


async def test_the_check_signs_in_by_a_code_and_leaves_no_session(
    place: Place, auth_server: AuthServer, tmp_path: Path
) -> None:
    public, listen = f"--public-url={place.front.url}", f"--listen={place.config.listen}"
    words = ("relay", "check", "--device-code", f"--homeserver={place.config.homeserver}", listen, public)
    checking = asyncio.create_task(heliograph(*words, "--state", str(tmp_path / "relay")))
    await until(lambda: auth_server.oauth.codes, "the request for a code")
    (code,) = auth_server.oauth.codes.values()
    code.localpart = "olga"
    ended = await checking
    assert ended.code == 0, ended.output + ended.errors
    first, *findings = ended.output.splitlines()
    assert f"enter {code.user_code}" in first.replace("-", "")
    assert {each[:3] for each in findings} == {"ok "}
    assert "Leaving would put nothing back" in findings[-1]
    assert auth_server.sessions.of("olga") == []


async def test_where_nobody_signs_in_by_oauth_the_check_says_so(synapse: ThrowawaySynapse) -> None:
    ended = await heliograph("relay", "check", "--device-code", f"--homeserver={synapse.base_url}")
    assert ended.code == 1
    assert "do not sign in by OAuth 2.0" in ended.errors
