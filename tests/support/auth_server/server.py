"""The server, what Synapse is told by it, and what a test does to it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from support.auth_server.faults import Fault, Faults
from support.auth_server.oauth import DEVICE_GRANT, OAuth
from support.auth_server.older_ways import OlderWays
from support.auth_server.pages import page
from support.auth_server.sessions import API, DEVICE, Refusal, Session, Sessions
from support.threaded import ThreadedHttpServer

T = TypeVar("T")

KEPT_HEADERS = ("Content-Type", "Location", "Retry-After", "Date")
CLIENT = {
    "client_name": "A test",
    "client_uri": "https://test.example.org/",
    "application_type": "native",
    "grant_types": ["authorization_code", "refresh_token", DEVICE_GRANT],
    "redirect_uris": ["http://127.0.0.1/callback"],
}


class AuthServer(ThreadedHttpServer):
    """Knows the users of `passwords`, by localpart. A `with` block. Its coroutines may be awaited in any loop."""

    def __init__(self, passwords: dict[str, str]) -> None:
        super().__init__()
        self.secret = secrets.token_hex(16)
        """Shared with Synapse."""
        self.homeserver_url = ""
        """Where Synapse is, or a relay before it, once that has started."""
        self.synapse_url = ""
        """Where Synapse is, if a relay stands before it."""
        self.passwords = passwords
        self.sessions = Sessions()
        parts = (self.sessions, self._check_password, self._begin_session, self._end_session)
        self.oauth = OAuth(*parts)
        self.older = OlderWays(*parts)
        self.calls: list[str] = []
        """"METHOD path" of each request that did not go on to Synapse."""
        self._faults = Faults()

    @property
    def synapse_settings(self) -> dict[str, object]:
        """What homeserver.yaml says of this server."""
        service = {"enabled": True, "endpoint": f"{self.url}/", "secret": self.secret}
        return {
            "public_baseurl": f"{self.url}/",
            "matrix_authentication_service": service,
            "password_config": {"enabled": False},
        }

    async def begin(self) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(None))
        await super().begin()

    async def end(self) -> None:
        await super().end()
        await self._http.close()

    def fail(self, at: str, fault: Fault, *, times: int = 1, seconds: float = 3) -> None:
        """Spoils the next requests whose path ends in `at` (token, revoke, registration, device, auth_metadata ...)."""
        self._faults.plan(at, fault, times, seconds)

    def restore(self) -> None:
        """Makes all settings and answers what they were at the start. Users, sessions and tokens stay."""
        self.heal()
        self.sessions.restore()
        self.oauth.restore()
        self.older.takes_passwords = True
        self.older.sso_actions.clear()
        self.calls.clear()

    def heal(self) -> None:
        """Takes back the faults that are still to come."""
        self._faults.clear()

    async def grant(self, localpart: str, device_id: str, *, is_oauth: bool) -> str:
        """A new access token for this user and device, both of which are made if need be. With `is_oauth` the token
        expires."""
        if is_oauth:
            _, answer = await self.sign_in(localpart, device_id)
            return str(answer["access_token"])
        return await self._here(self.older.grant(localpart, device_id))

    async def sign_in(self, localpart: str, device_id: str) -> tuple[str, dict[str, Any]]:
        """A client id, and the token endpoint's answer for a new session of this user and device."""

        async def run() -> tuple[str, dict[str, Any]]:
            client_id = str(self.oauth.register(dict(CLIENT))["client_id"])
            scope = f"{API} {DEVICE}{device_id}"
            asked = self.oauth.device({"client_id": client_id, "scope": scope}, self.url)
            device_code = str(asked["device_code"])
            self.oauth.codes[device_code].localpart = localpart
            form = {"grant_type": DEVICE_GRANT, "client_id": client_id, "device_code": device_code}
            return client_id, await self.oauth.token(form)

        return await self._here(run())

    @property
    def secrets_seen(self) -> set[str]:
        """Everything that nobody but a client and this server may learn: tokens, codes and code verifiers."""
        return {*self.sessions.access_tokens, *self.sessions.refresh_tokens, *self.oauth.seen}

    async def lock(self, localpart: str, *, is_locked: bool = True) -> None:
        """Locks the account, or unlocks it. Its refresh tokens go on working, its access tokens do not."""

        async def run() -> None:
            (self.sessions.locked.add if is_locked else self.sessions.locked.discard)(localpart)
            await self._tell_synapse("provision_user", localpart=localpart, locked=is_locked)

        await self._here(run())

    async def end_sessions(self, localpart: str) -> None:
        """Signs the user out everywhere, as from the account's page."""

        async def run() -> None:
            for session in self.sessions.of(localpart):
                await self._end_session(session)

        await self._here(run())

    async def forget_devices(self, localpart: str) -> None:
        """Deletes the user's devices at Synapse only, as an administrator may do there: this server does not know."""

        async def run() -> None:
            for session in self.sessions.of(localpart):
                await self._tell_synapse("delete_device", localpart=localpart, device_id=session.device_id)

        await self._here(run())

    def expire_refresh_tokens(self, localpart: str) -> None:
        """No refresh token of this user is good any more, as after long disuse."""
        for each in self.sessions.refresh_tokens.values():
            each.has_expired = each.has_expired or each.session.localpart == localpart

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        async def handle() -> web.StreamResponse:
            try:
                return await self._answer(request)
            except Refusal as refusal:
                why = {"error_description": refusal.why} if refusal.why else {}
                return web.json_response({"error": refusal.error, **why}, status=refusal.status)

        return await self._faults.answer(request, handle)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.replace("/_matrix/client/r0/", "/_matrix/client/v3/")
        own = await self._answer_oauth(request, path) or await self.older.answer(request, path)
        if own is None:
            return await self._pass_on(request)
        self.calls.append(f"{request.method} {path}")
        return own

    async def _answer_oauth(self, request: web.BaseRequest, path: str) -> web.StreamResponse | None:
        match request.method, path:
            case "GET", "/.well-known/openid-configuration":
                return web.json_response(self.oauth.metadata(self.url))
            case "POST", "/oauth2/introspect":
                return await self._introspect(request)
            case "POST", "/oauth2/registration":
                return web.json_response(self.oauth.register(await request.json()), status=201)
            case _, "/authorize":
                return await self.oauth.authorize(request, f"{self.url}/")
            case _, "/link":
                return await self.oauth.link(request)
            case "POST", "/oauth2/device":
                return web.json_response(self.oauth.device(await request.post(), self.url))
            case "POST", "/oauth2/token":
                answer = await self.oauth.token(await request.post())
                return web.json_response(answer, headers={"Cache-Control": "no-store"})
            case "POST", "/oauth2/revoke":
                await self.oauth.revoke(await request.post())
                return web.Response()
            case "GET", "/account/":
                return page("Your account", request.query_string)
        return None

    async def _introspect(self, request: web.BaseRequest) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.secret}":
            return web.json_response({"error": "access_denied"}, status=401)
        token = str((await request.post()).get("token"))
        session = self.sessions.introspect(token)
        if session is None:
            return web.json_response({"active": False})
        scope = f"{API} {DEVICE}{session.device_id}"
        answer: dict[str, object] = {
            "active": True,
            "username": session.localpart,
            "token_type": "access_token",
            "client_id": session.client_id or "A",
            "scope": scope,
            "device_id": session.device_id,
        }
        expires = self.sessions.access_tokens[token].expires
        if expires is not None:
            answer["expires_in"] = max(0, int(expires - asyncio.get_running_loop().time()))
        return web.json_response(answer)

    def _check_password(self, form: Mapping[str, Any]) -> str | None:
        localpart = str(form.get("user", "")).removeprefix("@").partition(":")[0]
        is_right = localpart in self.passwords and self.passwords[localpart] == form.get("password")
        return localpart if is_right and localpart not in self.sessions.locked else None

    async def _begin_session(self, session: Session) -> None:
        await self._tell_synapse("provision_user", localpart=session.localpart)
        await self._tell_synapse("upsert_device", localpart=session.localpart, device_id=session.device_id)

    async def _end_session(self, session: Session) -> None:
        session.has_ended = True
        # A device with another session stays.
        if not any(each.device_id == session.device_id for each in self.sessions.of(session.localpart)):
            await self._tell_synapse("delete_device", localpart=session.localpart, device_id=session.device_id)

    async def _tell_synapse(self, what: str, **body: object) -> None:
        headers = {"Authorization": f"Bearer {self.secret}"}
        url = f"{self.synapse_url or self.homeserver_url}/_synapse/mas/{what}"
        async with self._http.post(url, json=body, headers=headers) as answer:
            assert answer.status < 300, (what, answer.status, await answer.text())

    async def _pass_on(self, request: web.BaseRequest) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        url = self.homeserver_url + request.raw_path
        body = await request.read() or None
        async with self._http.request(request.method, url, data=body, headers=headers, allow_redirects=False) as answer:
            kept = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    async def _here(self, run: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run, self.loop))
