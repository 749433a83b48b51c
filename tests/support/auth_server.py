"""An OAuth 2.0 server in the manner of Matrix Authentication Service, which a real Synapse takes for one.

It has what a client that knows no OAuth meets there: the metadata, the older ways to sign in and out
(https://element-hq.github.io/matrix-authentication-service/topics/compatibility-layer.html), and the introspection by
which Synapse learns whose an access token is. All other requests go on to Synapse, so that `url` is the homeserver's
address. Nothing is kept on disk.
"""

from __future__ import annotations

import html
import secrets
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from support.threaded import ThreadedHttpServer

API, DEVICE = "urn:matrix:client:api:*", "urn:matrix:client:device:"
PREFERRED = {"oauth_aware_preferred": True, "org.matrix.msc3824.delegated_oidc_compatibility": True}
FORM = "<!doctype html><form method=post><input name=user><input name=password type=password><button>Sign in</button>"
KEPT_HEADERS = ("Content-Type", "Location", "Retry-After", "Date")


@dataclass(frozen=True)
class Grant:
    """Whose an access token is."""

    localpart: str
    device_id: str
    is_oauth: bool
    """False: the token was given out for one of the older ways to sign in."""


class AuthServer(ThreadedHttpServer):
    """Knows the users of `passwords`, by localpart. A `with` block."""

    def __init__(self, passwords: dict[str, str]) -> None:
        super().__init__()
        self.secret = secrets.token_hex(16)
        """Shared with Synapse."""
        self.homeserver_url = ""
        """Where Synapse is, once it has started."""
        self.passwords = passwords
        self.grants: dict[str, Grant] = {}
        """By access token."""
        self.sso_actions: list[str] = []
        """What the browser was sent to single sign-on for."""
        self._login_tokens: dict[str, str] = {}

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
        self._http = aiohttp.ClientSession()
        await super().begin()

    async def end(self) -> None:
        await super().end()
        await self._http.close()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.replace("/_matrix/client/r0/", "/_matrix/client/v3/")
        match request.method, path:
            case "GET", "/.well-known/openid-configuration":
                return web.json_response(self._metadata())
            case "POST", "/oauth2/introspect":
                return await self._introspect(request)
            case "GET", "/_matrix/client/v3/login":
                flows = [{"type": "m.login.password"}, {"type": "m.login.sso"} | PREFERRED, {"type": "m.login.token"}]
                return web.json_response({"flows": flows})
            case "POST", "/_matrix/client/v3/login":
                return await self._log_in(await request.json())
            case _, "/_matrix/client/v3/login/sso/redirect":
                return await self._sign_in_page(request)
            case "POST", "/_matrix/client/v3/logout":
                return await self._log_out(request.headers.get("Authorization", "").removeprefix("Bearer "))
        return await self._pass_on(request)

    async def grant(self, localpart: str, device_id: str, *, is_oauth: bool) -> str:
        """A new access token for this user and device, both of which are made if need be. To be called in the server's
        own loop."""
        await self._tell_synapse("provision_user", localpart=localpart)
        await self._tell_synapse("upsert_device", localpart=localpart, device_id=device_id)
        token = f"{'mat' if is_oauth else 'mct'}_{secrets.token_hex(15)}_{secrets.token_hex(3)}"
        self.grants[token] = Grant(localpart, device_id, is_oauth)
        return token

    def _metadata(self) -> dict[str, object]:
        return {
            "issuer": f"{self.url}/",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/oauth2/token",
            "introspection_endpoint": f"{self.url}/oauth2/introspect",
            "registration_endpoint": f"{self.url}/oauth2/registration",
            "revocation_endpoint": f"{self.url}/oauth2/revoke",
            "account_management_uri": f"{self.url}/account/",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
        }

    async def _introspect(self, request: web.BaseRequest) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.secret}":
            return web.json_response({"error": "access_denied"}, status=401)
        grant = self.grants.get(str((await request.post()).get("token")))
        if grant is None:
            return web.json_response({"active": False})
        answer = {"active": True, "username": grant.localpart, "token_type": "access_token", "client_id": "A"}
        return web.json_response(
            answer | {"scope": f"{API} {DEVICE}{grant.device_id}", "device_id": grant.device_id, "expires_in": 300}
        )

    async def _log_in(self, body: dict[str, Any]) -> web.Response:
        if body.get("type") == "m.login.password":
            localpart = str(body.get("identifier", {}).get("user", "")).removeprefix("@").partition(":")[0]
            is_right = self.passwords.get(localpart) == body.get("password")
        else:
            localpart = self._login_tokens.pop(str(body.get("token")), "")
            is_right = bool(localpart)
        if not is_right:
            return _matrix_error(403, "M_FORBIDDEN", "Invalid username/password")
        device_id = str(body.get("device_id") or secrets.token_hex(5).upper())
        token = await self.grant(localpart, device_id, is_oauth=False)
        user_id = f"@{localpart}:localhost"
        return web.json_response({"access_token": token, "device_id": device_id, "user_id": user_id})

    async def _sign_in_page(self, request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            self.sso_actions.append(request.query.get("action", ""))
            return web.Response(text=FORM, content_type="text/html")
        form = await request.post()
        localpart = str(form.get("user"))
        if self.passwords.get(localpart) != form.get("password"):
            return web.Response(status=403, text=f"Not {html.escape(localpart)}", content_type="text/html")
        login_token = secrets.token_urlsafe(16)
        self._login_tokens[login_token] = localpart
        return web.Response(
            status=303, headers={"Location": f"{request.query['redirectUrl']}?loginToken={login_token}"}
        )

    async def _log_out(self, token: str) -> web.Response:
        grant = self.grants.get(token)
        # An OAuth token is unknown to the older ways, though it is good everywhere else.
        if grant is None or grant.is_oauth:
            return _matrix_error(401, "M_UNKNOWN_TOKEN", "Invalid access token")
        del self.grants[token]
        await self._tell_synapse("delete_device", localpart=grant.localpart, device_id=grant.device_id)
        return web.json_response({})

    async def _tell_synapse(self, what: str, **body: object) -> None:
        headers = {"Authorization": f"Bearer {self.secret}"}
        async with self._http.post(f"{self.homeserver_url}/_synapse/mas/{what}", json=body, headers=headers) as answer:
            assert answer.status < 300, (what, answer.status, await answer.text())

    async def _pass_on(self, request: web.BaseRequest) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        url = self.homeserver_url + request.raw_path
        body = await request.read() or None
        async with self._http.request(request.method, url, data=body, headers=headers, allow_redirects=False) as answer:
            kept = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


def _matrix_error(status: int, errcode: str, error: str) -> web.Response:
    return web.json_response({"errcode": errcode, "error": error}, status=status)
