from __future__ import annotations

from typing import Any

import pytest

from edges.homeserver.oauth.conftest import Scripted, ScriptedAuthServer
from heliograph.core.oauth.token_answer import Ended, Granted, TokenGrant, TryAgain
from heliograph.errors import BadAnswer, Unreachable
from heliograph.homeserver.oauth import requests
from heliograph.homeserver.oauth.authorization_code import AuthorizationCode
from heliograph.homeserver.oauth.token_endpoint import OAuthTokenEndpoint

TOKEN, REVOKE = "/oauth2/token", "/oauth2/revoke"
TOKENS = {"access_token": "mat_new", "refresh_token": "mar_new", "token_type": "Bearer", "expires_in": 300}


@pytest.fixture
def endpoint(scripted: ScriptedAuthServer) -> OAuthTokenEndpoint:
    return OAuthTokenEndpoint(scripted.url + TOKEN, scripted.url + REVOKE, "01CLIENT")


async def test_a_refresh_token_brings_new_tokens(scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint) -> None:
    scripted.answers[TOKEN] = 200, TOKENS
    assert await endpoint.refresh("mar_old") == Granted(TokenGrant("mat_new", "mar_new", 300.0))
    form = {"grant_type": "refresh_token", "refresh_token": "mar_old", "client_id": "01CLIENT"}
    assert scripted.sent == [(TOKEN, form)]


async def test_a_code_is_redeemed_with_its_proof(scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint) -> None:
    scripted.answers[TOKEN] = 200, TOKENS
    code = AuthorizationCode("the code", "the verifier", "http://127.0.0.1:4/callback")
    assert isinstance(await endpoint.redeem_code(code), Granted)
    ((_, form),) = scripted.sent
    assert form["code"] == "the code"
    assert form["code_verifier"] == "the verifier"
    assert form["redirect_uri"] == "http://127.0.0.1:4/callback"
    assert "the code" not in repr(code)
    assert "verifier=" not in repr(code)


async def test_a_device_code_that_waits_is_no_end(scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint) -> None:
    scripted.answers[TOKEN] = 403, {"error": "authorization_pending"}
    answer = await endpoint.redeem_device_code("the device code")
    assert isinstance(answer, TryAgain)
    assert answer.code == "authorization_pending"
    assert scripted.sent[0][1]["device_code"] == "the device code"


async def test_an_end_by_name_is_an_end(scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint) -> None:
    scripted.answers[TOKEN] = 400, {"error": "invalid_grant"}
    assert await endpoint.refresh("mar_old") == Ended("invalid_grant")


@pytest.mark.parametrize(
    ("answer", "after_s"),
    [
        ((429, {"error": "rate_limited"}, {"Retry-After": "7"}), 7.0),
        ((429, {"error": "rate_limited"}, {"Retry-After": "1e9"}), 600.0),
        ((502, "<html>Bad gateway"), None),
        ((200, "<html>Welcome to this train"), None),
        ((400, "<html>invalid_grant"), None),
    ],
)
async def test_all_else_is_tried_again(
    scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint, answer: Scripted, after_s: float | None
) -> None:
    scripted.answers[TOKEN] = answer
    verdict = await endpoint.refresh("mar_old")
    assert isinstance(verdict, TryAgain)
    assert verdict.after_s == after_s


async def test_no_answer_is_tried_again(scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint) -> None:
    silent = OAuthTokenEndpoint("http://127.0.0.1:9/token", "http://127.0.0.1:9/revoke", "01CLIENT")
    assert isinstance(await silent.refresh("mar_old"), TryAgain)
    with pytest.raises(Unreachable):
        await silent.revoke("mar_old")


async def test_a_redirect_does_not_carry_the_token_elsewhere(
    scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint
) -> None:
    scripted.answers[TOKEN] = 307, "", {"Location": f"{scripted.url}/elsewhere"}
    assert isinstance(await endpoint.refresh("mar_old"), TryAgain)
    assert [path for path, _ in scripted.sent] == [TOKEN]


async def test_an_answer_without_end_is_cut_off(
    scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_MAX_ANSWER", 100)
    scripted.answers[TOKEN] = 200, {**TOKENS, "padding": "x" * 1_000_000}
    assert isinstance(await endpoint.refresh("mar_old"), TryAgain)


async def test_a_session_is_given_back(scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint) -> None:
    scripted.answers[REVOKE] = 200, ""
    await endpoint.revoke("mar_mine")
    assert scripted.sent == [
        (REVOKE, {"token": "mar_mine", "token_type_hint": "refresh_token", "client_id": "01CLIENT"})
    ]


async def test_a_session_of_a_client_that_the_server_forgot_needs_no_end(
    scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint
) -> None:
    scripted.answers[REVOKE] = 401, {"error": "invalid_client"}
    await endpoint.revoke("mar_mine")


@pytest.mark.parametrize(
    "answer", [(401, {"error": "unauthorized_client"}), (503, {"error": "server_error"}), (400, "<html>no"), (302, "")]
)
async def test_a_server_that_does_not_say_so_ended_nothing(
    scripted: ScriptedAuthServer, endpoint: OAuthTokenEndpoint, answer: tuple[int, Any]
) -> None:
    scripted.answers[REVOKE] = answer
    with pytest.raises(BadAnswer, match=str(answer[0])):
        await endpoint.revoke("mar_mine")
