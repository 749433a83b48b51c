from __future__ import annotations

from typing import Any

import pytest

from edges.homeserver.oauth.conftest import ScriptedAuthServer
from edges.login_server import auth_metadata
from heliograph.errors import UserError
from heliograph.homeserver.address import is_safe_url
from heliograph.homeserver.oauth.metadata import AuthServer, find_auth_server
from heliograph.homeserver.session import Session


async def ask(scripted: ScriptedAuthServer) -> AuthServer | None:
    session = Session(scripted.url)
    try:
        return await find_auth_server(session)
    finally:
        await session.close()


async def test_the_endpoints_are_those_that_the_homeserver_names(scripted: ScriptedAuthServer) -> None:
    scripted.metadata = auth_metadata("https://auth.example.org")
    found = await ask(scripted)
    assert found is not None
    assert found.issuer == "https://auth.example.org/"
    assert found.token_endpoint == "https://auth.example.org/oauth2/token"
    assert found.account_management_actions == ("org.matrix.session_end",)
    assert found.gives_device_codes
    assert not found.names_issuer


@pytest.mark.parametrize("left_out", ["device_authorization_endpoint", "grant_types_supported"])
async def test_a_server_without_device_codes_is_told_apart(scripted: ScriptedAuthServer, left_out: str) -> None:
    del scripted.metadata[left_out]
    found = await ask(scripted)
    assert found is not None
    assert not found.gives_device_codes


@pytest.mark.parametrize(
    "value", [None, 3, "", "http://auth.example.org/token", "ftp://x/", "https://me@auth.example.org/", "https:///x"]
)
@pytest.mark.parametrize("name", ["issuer", "token_endpoint", "revocation_endpoint", "authorization_endpoint"])
async def test_an_endpoint_that_cannot_be_trusted_is_named(scripted: ScriptedAuthServer, name: str, value: Any) -> None:
    scripted.metadata[name] = value
    with pytest.raises(UserError, match=name):
        await ask(scripted)


async def test_an_account_page_that_cannot_be_shown_is_left_out(scripted: ScriptedAuthServer) -> None:
    scripted.metadata["account_management_uri"] = "javascript:alert(1)"
    scripted.metadata["account_management_actions_supported"] = ["org.matrix.profile", 3, "", "x" * 300, "a\nb"]
    found = await ask(scripted)
    assert found is not None
    assert found.account_management_uri == ""
    assert found.account_management_actions == ("org.matrix.profile",)


async def test_an_issuer_with_a_query_is_none(scripted: ScriptedAuthServer) -> None:
    scripted.metadata["issuer"] = f"{scripted.url}/?tenant=1"
    with pytest.raises(UserError, match="issuer"):
        await ask(scripted)


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://auth.example.org/token?x=1", True),
        ("https://127.0.0.1/token", True),
        ("http://127.0.0.1:8080/token", False),
        ("http://auth.example.org/token", False),
        ("https://auth.example.org/#part", False),
        ("https://auth.example.org:x/", False),
        ("https://auth.example.org/\x1b[31m", False),
        ("https://auth.example.org/" + "x" * 3000, False),
    ],
)
def test_only_a_homeserver_on_this_machine_may_name_plain_http(url: str, is_safe: bool) -> None:
    assert is_safe_url(url, "https://matrix.example.org") is is_safe
    assert is_safe_url("http://127.0.0.1:8080/token", "http://localhost:8008")
