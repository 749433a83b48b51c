"""Signs in with a code that the user enters in a browser elsewhere: the device authorization grant (RFC 8628)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import field
from typing import Protocol

from heliograph.core.events import Json
from heliograph.core.oauth.authorization import CodePoll, judge_poll, next_wait_s, scope_for
from heliograph.core.oauth.token_answer import Granted, TokenAnswer, TokenGrant, TryAgain
from heliograph.core.value_type import value_type
from heliograph.errors import Unreachable, UserError
from heliograph.homeserver.address import is_safe_url
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.oauth.metadata import AuthServer
from heliograph.homeserver.oauth.requests import post_form

_MAX_CODE = 8192
_MAX_USER_CODE = 64
_INTERVAL_S = 5.0
"""How long to wait between two questions, where the server does not say (RFC 8628, section 3.2)."""
_MAX_INTERVAL_S = 60.0
_LIFE_S = 600.0
_MAX_LIFE_S = 3600.0


class _Redeems(Protocol):
    """Of `token_endpoint.OAuthTokenEndpoint`, what is used here."""

    async def redeem_device_code(self, device_code: str) -> TokenAnswer: ...


@value_type
class DeviceCode:
    """A code that waits for the user to enter `user_code` at `verification_uri`."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    verification_uri: str
    complete_uri: str = field(repr=False)
    """The same with the user code in it; empty if the server gives none."""
    interval_s: float
    life_s: float


async def ask_device_code(server: AuthServer, client_id: str, device_id: str) -> DeviceCode:
    """Asks for a code. Raises UserError."""
    if not server.gives_device_codes:
        raise UserError(
            f"{server.issuer} has no sign-in by a code that is entered elsewhere.",
            "Leave out --device-code, and sign in in a browser on this machine.",
        )
    form = {"client_id": client_id, "scope": scope_for(device_id)}
    try:
        answer = await post_form(server.device_authorization_endpoint, form)
    except Unreachable as error:
        raise UserError(
            f"{server.issuer} cannot be reached: {error}.", "Check your connection, and try again."
        ) from error
    told = answer.json() or {}
    if answer.status != 200:
        refusal = told.get("error")
        why = plain_line(refusal, 100) if isinstance(refusal, str) else f"HTTP {answer.status}"
        raise UserError(f"{server.issuer} gives no code to enter elsewhere: {why}.", "Try again in some minutes.")
    return _read(told, server)


async def wait_for_entry(endpoint: _Redeems, code: DeviceCode) -> TokenGrant:
    """Waits until the user has entered the code and let Heliograph in. Raises UserError if that does not happen."""
    wait_s = code.interval_s
    try:
        async with asyncio.timeout(code.life_s):
            while True:
                await asyncio.sleep(wait_s)
                answer = await endpoint.redeem_device_code(code.device_code)
                if isinstance(answer, Granted):
                    return answer.grant
                poll = _judge(answer)
                if poll in (CodePoll.DENIED, CodePoll.EXPIRED, CodePoll.REFUSED):
                    raise _not_entered(poll)
                wait_s = next_wait_s(wait_s, poll)
    except TimeoutError:
        raise _not_entered(CodePoll.EXPIRED) from None


def _judge(answer: TokenAnswer) -> CodePoll:
    if isinstance(answer, TryAgain):
        return judge_poll(answer.code)
    return CodePoll.REFUSED


def _not_entered(poll: CodePoll) -> UserError:
    cure = "Run the command again for a new code" + (", and enter it sooner." if poll is CodePoll.EXPIRED else ".")
    return UserError(f"Nobody was signed in: {poll.value}.", cure)


def _read(told: Json, server: AuthServer) -> DeviceCode:
    def text(name: str, limit: int, is_fit: Callable[[str], bool] = str.isascii) -> str:
        found = told.get(name)
        if not isinstance(found, str) or not 0 < len(found) <= limit or not found.isprintable():
            return ""
        return found if is_fit(found) else ""

    def is_safe(url: str) -> bool:
        return is_safe_url(url, server.homeserver)

    code = DeviceCode(
        device_code=text("device_code", _MAX_CODE),
        user_code=text("user_code", _MAX_USER_CODE),
        verification_uri=text("verification_uri", _MAX_CODE, is_safe),
        complete_uri=text("verification_uri_complete", _MAX_CODE, is_safe),
        interval_s=_seconds(told.get("interval"), _INTERVAL_S, _MAX_INTERVAL_S),
        life_s=_seconds(told.get("expires_in"), _LIFE_S, _MAX_LIFE_S),
    )
    if not (code.device_code and code.user_code and code.verification_uri):
        raise UserError(
            f"{server.issuer} gives no code that can be entered elsewhere.", "Tell whoever runs the server."
        )
    return code


def _seconds(told: object, otherwise: float, limit: float) -> float:
    if not isinstance(told, int | float) or isinstance(told, bool):
        return otherwise
    return float(min(max(told, 1), limit))
