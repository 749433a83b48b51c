"""A homeserver's endpoints for signing in and out and for push rules, on loopback, in a thread of its own.

Signing in and out is refused as Synapse refuses it (tests/contract/test_login.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from heliograph.core.push.predefined import predefined_rules
from support.builders import ALICE, ME
from support.threaded import ThreadedHttpServer

PASSWORD = "correct horse"
LOGIN_TOKEN = "sso-login-token"


def auth_metadata(url: str) -> dict[str, Any]:
    """What a homeserver tells of the authorization server at this URL."""
    return {
        "issuer": f"{url}/",
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/oauth2/token",
        "registration_endpoint": f"{url}/oauth2/registration",
        "revocation_endpoint": f"{url}/oauth2/revoke",
        "device_authorization_endpoint": f"{url}/oauth2/device",
        "account_management_uri": f"{url}/account/",
        "account_management_actions_supported": ["org.matrix.session_end"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "code_challenge_methods_supported": ["S256"],
    }


class LoginServer(ThreadedHttpServer):
    """Knows ME and ALICE, both with PASSWORD. A `with` block; everything public may be changed by a test."""

    def __init__(self) -> None:
        super().__init__()
        self.flows = ["m.login.password", "m.login.sso", "m.login.token"]
        self.sso_marks: dict[str, Any] = {}
        """What the flow m.login.sso says besides its type."""
        self.logins: list[dict[str, Any]] = []
        """Bodies of POST /login."""
        self.devices: dict[str, tuple[str, str]] = {}
        """User and device by access token."""
        self.soft_logouts: set[str] = set()
        """Access tokens that ended, with their device kept."""
        self.signs_in_as: str | None = None
        """Another user than the one who asked."""
        self.pushers: list[dict[str, Any]] = []
        self.after_listing: list[Callable[[], None]] = []
        """What happens right after each of the next lists of pushers."""
        self.listed_devices: list[Any] = []
        """What GET /devices tells."""
        self.rules: dict[str, Any] = predefined_rules(ME)
        """The `global` object of GET /pushrules/."""
        self.rule_changes: list[tuple[str, Any]] = []
        """"METHOD path?query" and body of each request that changes push rules; they change nothing."""
        self.answers: dict[str, tuple[int, Any]] = {}
        """Status and body by "METHOD path", instead of the usual."""
        self.date: str | None = None
        """The header Date, instead of the time that it is."""
        self.requests: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.Response:
        call = f"{request.method} {request.path.replace('/_matrix/client/v3', '').replace('/_matrix/client', '')}"
        self.requests.append(call)
        body = await request.json() if request.can_read_body else {}
        status, answer = self.answers[call] if call in self.answers else self._usual(call, body, request)
        headers = {} if self.date is None else {"Date": self.date}
        if isinstance(answer, str):
            return web.Response(status=status, text=answer, headers=headers)
        return web.json_response(answer, status=status, headers=headers)

    def _usual(self, call: str, body: dict[str, Any], request: web.BaseRequest) -> tuple[int, Any]:
        match call:
            case "GET /versions":
                return 200, {"versions": ["v1.11"]}
            case "GET /login":
                marks = {"m.login.sso": self.sso_marks}
                return 200, {"flows": [{"type": flow} | marks.get(flow, {}) for flow in self.flows]}
            case "POST /login":
                return self._log_in(body)
            case "GET /v1/auth_metadata" | "GET /unstable/org.matrix.msc2965/auth_metadata":
                return 404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            return 401, {"errcode": "M_MISSING_TOKEN", "error": "Missing access token"}
        if call == "POST /logout" and token in self.soft_logouts:
            # An expired token may still sign out.
            self.soft_logouts.remove(token)
            return 200, {}
        if token not in self.devices:
            return 401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Dead", "soft_logout": token in self.soft_logouts}
        user_id, device_id = self.devices[token]
        if "/pushrules/global/" in call:
            self.rule_changes.append((call + (f"?{request.query_string}" if request.query_string else ""), body))
            return 200, {}
        match call:
            case "GET /pushrules/":
                return 200, {"global": self.rules}
            case "GET /account/whoami":
                return 200, {"user_id": user_id, "device_id": device_id}
            case "GET /pushers":
                pushers = [dict(each) for each in self.pushers]
                if self.after_listing:
                    self.after_listing.pop(0)()
                return 200, {"pushers": pushers}
            case "POST /pushers/set":
                key = (body["app_id"], body["pushkey"])
                self.pushers = [each for each in self.pushers if (each["app_id"], each["pushkey"]) != key]
                if body["kind"] is not None:
                    self.pushers.append({"device_id": device_id, **body})
                return 200, {}
            case "GET /devices":
                return 200, {"devices": self.listed_devices}
            case "POST /logout":
                del self.devices[token]
                return 200, {}
        return 404, {"errcode": "M_UNRECOGNIZED", "error": call}

    def expire(self, access_token: str) -> None:
        """Ends the token, but not its device."""
        del self.devices[access_token]
        self.soft_logouts.add(access_token)

    def _log_in(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.logins.append(body)
        match body:
            case {"type": "m.login.password", "identifier": {"user": user_id}, "password": password}:
                is_right = password == PASSWORD
            case {"type": "m.login.token", "token": login_token}:
                user_id, is_right = ME, login_token == LOGIN_TOKEN
            case {"type": str(type_)} if type_ != "m.login.token":
                return 400, {"errcode": "M_INVALID_PARAM", "error": "Invalid login submission"}
            case _:
                return 400, {"errcode": "M_UNKNOWN", "error": "Missing JSON keys."}
        if not user_id:
            return 400, {"errcode": "M_UNKNOWN", "error": "User identifier is missing 'user' key"}
        if not is_right or user_id not in (ME, ALICE):
            return 403, {"errcode": "M_FORBIDDEN", "error": "Invalid username or password"}
        token = f"syt_token{len(self.logins)}"
        device_id = body.get("device_id", f"DEVICE{len(self.logins)}")
        self.devices[token] = (self.signs_in_as or user_id, device_id)
        return 200, {"user_id": self.signs_in_as or user_id, "access_token": token, "device_id": device_id}
