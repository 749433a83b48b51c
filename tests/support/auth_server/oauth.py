"""Registration, the authorization code and device code grants, refresh and revocation, with MAS's statuses."""

from __future__ import annotations

import base64
import hashlib
import secrets
import string
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from support.auth_server.pages import page, sign_in_page, way_back
from support.auth_server.sessions import Refusal, Session, Sessions, device_in

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PAGE_ACTIONS = (
    "profile",
    "devices_list",
    "device_view",
    "device_delete",
    "sessions_list",
    "session_view",
    "session_end",
)


@dataclass
class Code:
    """What was asked for, and by whom it was allowed."""

    client_id: str
    scope: str
    asked: Mapping[str, str] = field(default_factory=dict)
    user_code: str = ""
    localpart: str | None = None
    is_denied: bool = False
    born: float = field(default_factory=time.monotonic)


class OAuth:
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
        self.restore()
        self.clients: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, Code] = {}
        """By authorization code or device code, until that is redeemed."""
        self.seen: set[str] = set()
        """Each authorization code and device code that was given out, and each code verifier that came."""

    def restore(self) -> None:
        """Makes the settings what they were at the start."""
        self.offers_device_codes = True
        self.sends_complete_uri = True
        self.interval_s = 1
        self.code_life_s: float = 600
        self.issuer_sent = ""
        """The issuer named on the way back, if not the true one."""
        self.device_given = ""
        """The device that is signed in, if not the one that was asked for."""

    def metadata(self, url: str) -> dict[str, object]:
        grants = ["authorization_code", "refresh_token", "client_credentials"]
        found: dict[str, object] = {
            "issuer": f"{url}/",
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/oauth2/token",
            "introspection_endpoint": f"{url}/oauth2/introspect",
            "registration_endpoint": f"{url}/oauth2/registration",
            "revocation_endpoint": f"{url}/oauth2/revoke",
            "account_management_uri": f"{url}/account/",
            "account_management_actions_supported": [f"org.matrix.{action}" for action in PAGE_ACTIONS],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment"],
            "authorization_response_iss_parameter_supported": True,
            "grant_types_supported": grants,
            "code_challenge_methods_supported": ["plain", "S256"],
        }
        if self.offers_device_codes:
            grants.append(DEVICE_GRANT)
            found["device_authorization_endpoint"] = f"{url}/oauth2/device"
        return found

    def register(self, asked: dict[str, Any]) -> dict[str, Any]:
        grants = asked.get("grant_types", ["authorization_code"])
        if not self.offers_device_codes:
            grants = [each for each in grants if each != DEVICE_GRANT]
        if not str(asked.get("client_uri", "")).startswith("https://"):
            raise Refusal("invalid_client_metadata", 400, "missing client_uri")
        uris = asked.get("redirect_uris", [])
        if "authorization_code" in grants and not uris:
            raise Refusal("invalid_redirect_uri", 400, "missing redirect_uris")
        for uri in map(urlsplit, uris):
            is_loopback = uri.scheme == "http" and uri.hostname in LOOPBACK and uri.port is None and not uri.query
            if asked.get("application_type") != "native" or not is_loopback:
                raise Refusal("invalid_redirect_uri", 400, "invalid redirect_uri")
        known = {**asked, "grant_types": grants}
        # The same metadata is the same client, as with MAS.
        client_id = hashlib.sha256(repr(sorted(asked.items())).encode()).hexdigest()[:26].upper()
        self.clients[client_id] = known
        return {"client_id": client_id, **known}

    async def authorize(self, request: web.BaseRequest, issuer: str) -> web.StreamResponse:
        query = dict(request.query)
        client, back = self.clients.get(query.get("client_id", "")), query.get("redirect_uri", "")
        if client is None or _without_port(back) not in client.get("redirect_uris", []):
            return page("Something is wrong", "Unknown client or redirect_uri.", 400)
        kept = {"state": query.get("state", ""), "iss": self.issuer_sent or issuer}
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            return way_back(back, error="invalid_request", **kept)
        try:
            device_in(query.get("scope", ""))
        except Refusal as refusal:
            return way_back(back, error=refusal.error, error_description=refusal.why, **kept)
        if request.method == "GET":
            hint = query.get("login_hint", "").removeprefix("mxid:@").partition(":")[0]
            return sign_in_page(f"Sign in to let {client.get('client_name')} in", user=hint)
        form = await request.post()
        if form.get("answer") == "cancel":
            return way_back(back, error="access_denied", **kept)
        localpart = self._check_password(form)
        if localpart is None:
            return sign_in_page("Wrong name or password")
        code = secrets.token_urlsafe(24)
        self.seen.add(code)
        self.codes[code] = Code(query["client_id"], query["scope"], query, localpart=localpart)
        return way_back(back, code=code, **kept)

    async def link(self, request: web.BaseRequest) -> web.StreamResponse:
        """Where a person enters the user code that another machine shows."""
        if request.method == "GET":
            return sign_in_page("Enter the code", code=request.query.get("code", ""))
        form = await request.post()
        typed, localpart = str(form.get("code", "")).upper().replace("-", ""), self._check_password(form)
        code = next((each for each in self.codes.values() if each.user_code and each.user_code == typed), None)
        if code is None or localpart is None:
            return sign_in_page("Wrong code, name or password", code="")
        code.localpart, code.is_denied = localpart, form.get("answer") == "cancel"
        return page("Done", "You can go back to the other machine.")

    def device(self, form: Mapping[str, Any], url: str) -> dict[str, object]:
        client_id = self._client(form, DEVICE_GRANT)
        scope = str(form.get("scope", ""))
        device_in(scope)
        device_code = secrets.token_urlsafe(24)
        self.seen.add(device_code)
        user_code = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(6))
        self.codes[device_code] = Code(client_id, scope, user_code=user_code)
        answer: dict[str, object] = {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": f"{url}/link",
            "expires_in": self.code_life_s,
            "interval": self.interval_s,
        }
        if self.sends_complete_uri:
            answer["verification_uri_complete"] = f"{url}/link?code={user_code}"
        return answer

    async def token(self, form: Mapping[str, Any]) -> dict[str, object]:
        grant = str(form.get("grant_type"))
        client_id = self._client(form, grant)
        if grant == "refresh_token":
            session, access, refresh = self._sessions.refresh(str(form.get("refresh_token")), client_id)
            return self._tokens(session, access, refresh)
        code = self._redeem(grant, form, client_id)
        session = Session(str(code.localpart), self.device_given or device_in(code.scope), client_id)
        await self._begin_session(session)
        return self._tokens(session, *self._sessions.grant(session, lasts=False))

    async def revoke(self, form: Mapping[str, Any]) -> None:
        client_id = self._client(form, None)
        session = self._sessions.find(str(form.get("token")))
        if session is None:  # which is a success, by RFC 7009
            return
        if session.client_id != client_id:
            raise Refusal("unauthorized_client", 401)
        await self._end_session(session)

    def _redeem(self, grant: str, form: Mapping[str, Any], client_id: str) -> Code:
        given = str(form.get("code" if grant == "authorization_code" else "device_code"))
        code = self.codes.get(given)
        if code is None or code.client_id != client_id or (grant == DEVICE_GRANT) != bool(code.user_code):
            raise Refusal("invalid_grant")
        if time.monotonic() - code.born > self.code_life_s:
            raise Refusal("expired_token", 403)
        if code.localpart is None:
            raise Refusal("authorization_pending", 403)
        del self.codes[given]
        if code.is_denied:
            raise Refusal("access_denied", 403)
        if grant == "authorization_code":
            verifier = str(form.get("code_verifier", ""))
            self.seen.add(verifier)
            challenge = hashlib.sha256(verifier.encode()).digest()
            is_proven = base64.urlsafe_b64encode(challenge).decode().rstrip("=") == code.asked.get("code_challenge")
            if not is_proven or form.get("redirect_uri") != code.asked.get("redirect_uri"):
                raise Refusal("invalid_grant")
        return code

    def _client(self, form: Mapping[str, Any], grant: str | None) -> str:
        client_id = str(form.get("client_id", ""))
        if client_id not in self.clients:
            raise Refusal("invalid_client", 401)
        if grant is not None and grant not in self.clients[client_id].get("grant_types", ()):
            raise Refusal("unauthorized_client", 401)
        return client_id

    def _tokens(self, session: Session, access: str, refresh: str) -> dict[str, object]:
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": self._sessions.told_ttl_s or self._sessions.ttl_s,
            "scope": f"urn:matrix:client:api:* urn:matrix:client:device:{session.device_id}",
        }


def _without_port(uri: str) -> str:
    """RFC 8252, section 7.3: the port of a loopback address is the client's to choose."""
    url = urlsplit(uri)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}{url.path}" if url.scheme == "http" and url.hostname in LOOPBACK else uri
