from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from edges.homeserver.oauth.conftest import ScriptedAuthServer
from heliograph.core.oauth.token_answer import Ended, Granted, TokenAnswer, TokenGrant, TryAgain
from heliograph.errors import UserError
from heliograph.homeserver.oauth.device_code import DeviceCode, ask_device_code, wait_for_entry
from heliograph.homeserver.oauth.metadata import AuthServer

DEVICE = "/oauth2/device"


def offer(scripted: ScriptedAuthServer, **changes: Any) -> dict[str, Any]:
    usual = {
        "device_code": "secret",
        "user_code": "ABC-DEF",
        "verification_uri": f"{scripted.url}/link",
        "verification_uri_complete": f"{scripted.url}/link?code=ABC-DEF",
        "expires_in": 1200,
        "interval": 2,
    }
    return usual | changes


async def test_a_code_is_asked_for_this_device(scripted: ScriptedAuthServer, auth_server: AuthServer) -> None:
    scripted.answers[DEVICE] = 200, offer(scripted)
    code = await ask_device_code(auth_server, "01CLIENT", "ABCDEFGHIJKL")
    assert (code.user_code, code.interval_s, code.life_s) == ("ABC-DEF", 2, 1200)
    assert code.complete_uri.endswith("?code=ABC-DEF")
    assert "secret" not in repr(code)
    assert scripted.sent[0][1]["scope"].endswith("urn:matrix:client:device:ABCDEFGHIJKL")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"interval": None, "expires_in": None}, (5, 600)),
        ({"interval": 0, "expires_in": 10**400}, (1, 3600)),
        ({"interval": True, "expires_in": "soon"}, (5, 600)),
        ({"interval": 10**6, "expires_in": -1}, (60, 1)),
    ],
)
async def test_times_without_reason_are_bounded(
    scripted: ScriptedAuthServer, auth_server: AuthServer, times: dict[str, Any], expected: tuple[float, float]
) -> None:
    scripted.answers[DEVICE] = 200, offer(scripted, **times)
    code = await ask_device_code(auth_server, "01CLIENT", "ABCDEFGHIJKL")
    assert (code.interval_s, code.life_s) == expected


async def test_a_complete_address_that_cannot_be_shown_is_left_out(
    scripted: ScriptedAuthServer, auth_server: AuthServer
) -> None:
    scripted.answers[DEVICE] = 200, offer(scripted, verification_uri_complete="file:///etc/passwd")
    assert (await ask_device_code(auth_server, "01CLIENT", "ABCDEFGHIJKL")).complete_uri == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"device_code": ""},
        {"device_code": None},
        {"user_code": "A\x1b[2J"},
        {"user_code": "x" * 65},
        {"verification_uri": "file:///etc/passwd"},
        {"verification_uri": 3},
    ],
)
async def test_an_answer_that_nobody_could_follow_is_refused(
    scripted: ScriptedAuthServer, auth_server: AuthServer, changes: dict[str, Any]
) -> None:
    scripted.answers[DEVICE] = 200, offer(scripted, **changes)
    with pytest.raises(UserError, match="no code that can be entered elsewhere"):
        await ask_device_code(auth_server, "01CLIENT", "ABCDEFGHIJKL")


@pytest.mark.parametrize("answer", [(401, {"error": "unauthorized_client"}), (502, "<html>Bad gateway"), (302, "")])
async def test_a_refusal_is_told(
    scripted: ScriptedAuthServer, auth_server: AuthServer, answer: tuple[int, Any]
) -> None:
    scripted.answers[DEVICE] = answer
    with pytest.raises(UserError, match="gives no code to enter elsewhere"):
        await ask_device_code(auth_server, "01CLIENT", "ABCDEFGHIJKL")


async def test_a_server_without_device_codes_is_not_asked(
    scripted: ScriptedAuthServer, auth_server: AuthServer
) -> None:
    server = dataclasses.replace(auth_server, device_authorization_endpoint="")
    with pytest.raises(UserError, match="no sign-in by a code"):
        await ask_device_code(server, "01CLIENT", "ABCDEFGHIJKL")
    assert scripted.sent == []


def waiting_code(**changes: float) -> DeviceCode:
    times = {"interval_s": 5.0, "life_s": 600.0} | changes
    return DeviceCode("secret", "ABC-DEF", "https://auth.example.org/link", "", **times)


class Entering:
    """A token endpoint that gives these answers, one after another, and then the last one for ever."""

    def __init__(self, *answers: TokenAnswer) -> None:
        self._answers = list(answers)
        self.asked: list[float] = []

    async def redeem_device_code(self, device_code: str) -> TokenAnswer:
        assert device_code == "secret"
        self.asked.append(asyncio.get_running_loop().time())
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


PENDING, SLOWER = TryAgain(None, "", "authorization_pending"), TryAgain(None, "", "slow_down")
TOKENS = TokenGrant("mat_new", "mar_new", 300.0)


@pytest.mark.virtual_time
async def test_the_user_may_take_the_time_that_the_code_has() -> None:
    start = asyncio.get_running_loop().time()
    endpoint = Entering(PENDING, SLOWER, TryAgain(None, "HTTP 502"), Granted(TOKENS))
    assert await wait_for_entry(endpoint, waiting_code()) == TOKENS
    assert [at - start for at in endpoint.asked] == [5, 10, 20, 40]


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (TryAgain(None, "", "access_denied"), "cancelled in the browser"),
        (TryAgain(None, "", "expired_token"), "not entered in time"),
        (Ended("invalid_grant"), "does not take the code"),
        (PENDING, "not entered in time"),
    ],
)
async def test_a_code_that_leads_nowhere_is_told(answer: TokenAnswer, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        await wait_for_entry(Entering(PENDING, answer), waiting_code())
