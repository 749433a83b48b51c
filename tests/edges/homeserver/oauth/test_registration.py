from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from edges.homeserver.oauth.conftest import ScriptedAuthServer
from heliograph.errors import UserError
from heliograph.homeserver.oauth.metadata import DEVICE_CODE_GRANT, AuthServer
from heliograph.homeserver.oauth.registration import register

REGISTRATION = "/oauth2/registration"


async def test_the_client_says_what_it_is_and_gets_an_id(scripted: ScriptedAuthServer, auth_server: AuthServer) -> None:
    scripted.answers[REGISTRATION] = 201, {"client_id": "01CLIENT"}
    assert await register(auth_server) == "01CLIENT"
    assert await register(auth_server) == "01CLIENT"
    (_, first), (_, second) = scripted.sent
    assert first == second
    assert first["application_type"] == "native"
    assert first["token_endpoint_auth_method"] == "none"
    assert first["redirect_uris"] == ["http://127.0.0.1/callback"]
    assert first["grant_types"] == ["authorization_code", "refresh_token", DEVICE_CODE_GRANT]


async def test_no_more_is_asked_for_than_the_server_offers(
    scripted: ScriptedAuthServer, auth_server: AuthServer
) -> None:
    scripted.answers[REGISTRATION] = 201, {"client_id": "01CLIENT"}
    await register(dataclasses.replace(auth_server, grant_types=frozenset({"authorization_code"})))
    assert scripted.sent[0][1]["grant_types"] == ["authorization_code", "refresh_token"]


@pytest.mark.parametrize(
    "answer",
    [(403, {"error": "invalid_client_metadata", "error_description": "no\x1b strangers"}), (400, {"error": "odd"})],
)
async def test_a_refusal_is_told_in_the_servers_words(
    scripted: ScriptedAuthServer, auth_server: AuthServer, answer: tuple[int, Any]
) -> None:
    scripted.answers[REGISTRATION] = answer
    with pytest.raises(UserError, match="does not take Heliograph as a client") as refusal:
        await register(auth_server)
    assert answer[1]["error"] in refusal.value.title
    assert "\x1b" not in refusal.value.title


@pytest.mark.parametrize(
    "answer",
    [
        (200, "<html>Welcome to this train"),
        (502, "<html>Bad gateway"),
        (503, {"error": "temporarily_unavailable"}),
        (201, {"client_id": ""}),
        (201, {"client_id": 3}),
        (201, {"client_id": "a\nb"}),
        (302, ""),
    ],
)
async def test_what_is_no_answer_to_a_registration_is_tried_again_later(
    scripted: ScriptedAuthServer, auth_server: AuthServer, answer: tuple[int, Any]
) -> None:
    scripted.answers[REGISTRATION] = answer
    with pytest.raises(UserError, match="does not answer as an authorization server") as refusal:
        await register(auth_server)
    assert "Try again" in refusal.value.hint
