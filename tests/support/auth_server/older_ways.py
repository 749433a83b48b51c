"""The older ways to sign in and out, whose tokens last."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from support.auth_server.pages import page, sign_in_page, way_back
from support.auth_server.sessions import Session, Sessions

PREFERRED = {"oauth_aware_preferred": True, "org.matrix.msc3824.delegated_oidc_compatibility": True}


class OlderWays:
    """The endpoints. Public fields may be changed by a test."""

    def __init__(
        self,
        sessions: Sessions,
        check_password: Callable[[Mapping[str, Any]], str | None],
        begin_session: Callable[[Session], Awaitable[None]],
        end_session: Callable[[Session], Awaitable[None]],
    ) -> None:
        self._sessions = sessions
        self._check_password = check_password
        self._begin_session = begin_session
        self._end_session = end_session
        self.takes_passwords = True
        self.sso_actions: list[str] = []
        """What the browser was sent to single sign-on for."""
        self._login_tokens: dict[str, str] = {}

    async def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse | None:
        """None: the request is for none of these endpoints."""
        match request.method, path:
            case "GET", "/_matrix/client/v3/login":
                passwords = [{"type": "m.login.password"}] if self.takes_passwords else []
                flows = [*passwords, {"type": "m.login.sso"} | PREFERRED, {"type": "m.login.token"}]
                return web.json_response({"flows": flows})
            case "POST", "/_matrix/client/v3/login":
                return await self._log_in(await request.json())
            case _, "/_matrix/client/v3/login/sso/redirect":
                return await self._single_sign_on(request)
            case "POST", "/_matrix/client/v3/logout":
                return await self._log_out(request.headers.get("Authorization", "").removeprefix("Bearer "))
        return None

    async def grant(self, localpart: str, device_id: str) -> str:
        session = Session(localpart, device_id)
        await self._begin_session(session)
        access, _ = self._sessions.grant(session, lasts=True)
        return access

    async def _log_in(self, body: dict[str, Any]) -> web.Response:
        localpart: str | None = None
        if body.get("type") == "m.login.password" and self.takes_passwords:
            user = body.get("identifier", {}).get("user", "")
            localpart = self._check_password({"user": user, "password": body.get("password")})
        elif body.get("type") == "m.login.token":
            localpart = self._login_tokens.pop(str(body.get("token")), None)
        if localpart is None:
            return _matrix_error(403, "M_FORBIDDEN", "Invalid username/password")
        device_id = str(body.get("device_id") or secrets.token_hex(5).upper())
        token = await self.grant(localpart, device_id)
        user_id = f"@{localpart}:localhost"
        return web.json_response({"access_token": token, "device_id": device_id, "user_id": user_id})

    async def _single_sign_on(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "GET":
            self.sso_actions.append(request.query.get("action", ""))
            return sign_in_page("Single sign-on")
        localpart = self._check_password(await request.post())
        if localpart is None:
            return page("Wrong name or password", "", 403)
        login_token = secrets.token_urlsafe(16)
        self._login_tokens[login_token] = localpart
        return way_back(request.query["redirectUrl"], loginToken=login_token)

    async def _log_out(self, token: str) -> web.Response:
        session = self._sessions.find(token)
        # An OAuth token is unknown to the older ways, though it is good everywhere else.
        if session is None or session.client_id:
            return _matrix_error(401, "M_UNKNOWN_TOKEN", "Invalid access token")
        await self._end_session(session)
        return web.json_response({})


def _matrix_error(status: int, errcode: str, error: str) -> web.Response:
    return web.json_response({"errcode": errcode, "error": error}, status=status)
