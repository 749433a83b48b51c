"""What Synapse refuses of HTTP requests, by the code of its own servlets: for homeservers that tests play over HTTP."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote

from aiohttp import web

from fakes.synapse_checks import check_filter, check_pusher, check_to_device, refused, refusing
from heliograph.errors import Refused

with warnings.catch_warnings():
    # Of what Synapse stands on.
    warnings.simplefilter("ignore", DeprecationWarning)
    from synapse.api.auth.base import BaseAuth
    from synapse.api.errors import Codes
    from synapse.http import servlet
    from synapse.rest.client.sync import SyncRestServlet
    from twisted.web.http import parse_qs
    from twisted.web.http_headers import Headers

logging.getLogger(servlet.__name__).setLevel(logging.ERROR)
"""Of each request that it refuses it warns its operator, who is nobody here."""

_CLIENT = "/_matrix/client/"
_NEVER_NULL = ("app_id", "pushkey", "app_display_name", "device_display_name")
"""Columns of Synapse's table of pushers."""


@dataclass(frozen=True)
class Route:
    """A request that a played homeserver answers; `path` is without its version, which is v3 or r0."""

    name: str
    method: str
    path: str
    """A regular expression whose groups are identifiers."""
    ROOT: ClassVar = rf"{_CLIENT}(?:r0|v3)/"

    def match(self, path: str) -> list[str] | None:
        """The identifiers, if it is this path."""
        found = re.fullmatch(self.path if self.path.startswith("/") else self.ROOT + self.path, path)
        return None if found is None else [unquote(identifier) for identifier in found.groups()]


VERSIONS = Route("versions", "GET", f"{_CLIENT}versions")
WHOAMI = Route("whoami", "GET", "account/whoami")
SYNC = Route("sync", "GET", "sync")
NOTIFICATIONS = Route("notifications", "GET", "notifications")
PUSHERS = Route("pushers", "GET", "pushers")
SET_PUSHER = Route("set pusher", "POST", "pushers/set")
EVENT = Route("event", "GET", "rooms/([^/]*)/event/([^/]*)")
MESSAGES = Route("messages", "GET", "rooms/([^/]*)/messages")
JOINED_MEMBERS = Route("joined members", "GET", "rooms/([^/]*)/joined_members")
STATE = Route("state", "GET", "rooms/([^/]*)/state/([^/]*)/([^/]*)")
RECEIPT = Route("receipt", "POST", "rooms/([^/]*)/receipt/([^/]*)/([^/]*)")
READ_MARKERS = Route("read markers", "POST", "rooms/([^/]*)/read_markers")
PUSH_RULES = Route("push rules", "GET", "pushrules/")
KEY_UPLOAD = Route("key upload", "POST", "keys/upload")
KEY_QUERY = Route("key query", "POST", "keys/query")
TO_DEVICE = Route("to-device", "PUT", "sendToDevice/([^/]*)/([^/]*)")


class PlayedRequest:
    """As Synapse's servlets see it; made by `read`. Each check raises Refused."""

    def __init__(self, request: web.BaseRequest, body: bytes) -> None:
        self.origin = request
        self.method = request.method.encode()
        self.uri = request.raw_path.encode()
        self.path, _, query = request.raw_path.partition("?")
        self.args: dict[bytes, list[bytes]] = parse_qs(query.encode(), keep_blank_values=True)  # type: ignore[no-untyped-call]
        self.requestHeaders = Headers({name: request.headers.getall(name) for name in request.headers})
        self.content = io.BytesIO(body)

    @classmethod
    async def read(cls, request: web.BaseRequest) -> PlayedRequest:
        return cls(request, await request.read())

    def route(self, routes: Iterable[Route]) -> tuple[Route, list[str]]:
        """Which of them it is, and its identifiers."""
        found = [(route, identifiers) for route in routes if (identifiers := route.match(self.path)) is not None]
        if not found:
            raise refused(404, Codes.UNRECOGNIZED, "Unrecognized request")
        for route, identifiers in found:
            if route.method == self.method.decode():
                return route, identifiers
        raise refused(405, Codes.UNRECOGNIZED, "Unrecognized request")

    def check_token(self, access_token: str, *, is_needed: bool = True) -> None:
        """That it is this one; unless it is needed, none is as good."""
        if not is_needed and not self.requestHeaders.hasHeader(b"Authorization") and b"access_token" not in self.args:
            return
        with refusing():
            told = BaseAuth.get_access_token_from_request(self)  # type: ignore[arg-type]
        if told != access_token:
            raise refused(401, Codes.UNKNOWN_TOKEN, "Invalid access token passed.")

    @property
    def asks_for_whole_event(self) -> bool:
        """GET /state gives the content alone otherwise."""
        return self.args.get(b"format") == [b"event"]

    def word(self, name: str) -> str | None:
        """A parameter of the query."""
        with refusing():
            return servlet.parse_string_from_args(self.args, name)

    def number(self, name: str, default: int) -> int:
        """The same as a number that is not negative."""
        with refusing():
            return servlet.parse_integer_from_args(self.args, name, default=default)

    def check_sync(self) -> tuple[str | None, int]:
        """The token that it goes on from, and how long it waits, in ms."""
        with refusing():
            timeout_ms = servlet.parse_integer_from_args(self.args, "timeout", default=0)
            since = servlet.parse_string_from_args(self.args, "since")
            servlet.parse_string_from_args(
                self.args, "set_presence", default="online", allowed_values=SyncRestServlet.ALLOWED_PRESENCE
            )
            filter_ = servlet.parse_string_from_args(self.args, "filter")
            servlet.parse_boolean_from_args(self.args, "full_state", default=False)
        if filter_ is not None:
            check_filter(filter_)
        return since, timeout_ms

    def check_notifications(self) -> tuple[int | None, int]:
        """The place in the list from which on it is asked for, and how many are."""
        with refusing():
            start = servlet.parse_string_from_args(self.args, "from")
            limit = servlet.parse_integer_from_args(self.args, "limit", default=50)
        try:
            return (None if start is None else int(start)), limit
        except ValueError:
            raise refused(400, Codes.UNKNOWN, 'Query parameter "from" contains unrecognised token') from None

    def check_pusher(self) -> dict[str, Any]:
        """The body of POST /pushers/set. What its database does not take Synapse has no words for: 500."""
        body = self.read_json()
        is_removal = {"app_id", "pushkey", "kind"} <= body.keys() and body["kind"] is None
        if not is_removal:
            with refusing():
                servlet.assert_params_in_dict(
                    body, ["kind", "app_id", "app_display_name", "device_display_name", "pushkey", "lang", "data"]
                )
            check_pusher(body["kind"], body["data"])
        names = _NEVER_NULL[:2] if is_removal else (*_NEVER_NULL, "kind")
        if not all(_fits_a_column(body[name]) for name in names):
            raise refused(500, Codes.UNKNOWN, "Internal server error")
        return body

    def check_to_device(self) -> dict[str, Any]:
        """The body of PUT /sendToDevice."""
        body = self.read_json()
        with refusing():
            servlet.assert_params_in_dict(body, ("messages",))
        messages = body["messages"]
        contents = list(messages.values()) if isinstance(messages, dict) else [None]
        contents += [content for devices in contents if isinstance(devices, dict) for content in devices.values()]
        if not all(isinstance(content, dict) for content in contents):
            raise refused(500, Codes.UNKNOWN, "Internal server error")
        check_to_device(messages)
        return body

    def read_json(self) -> dict[str, Any]:
        """The body."""
        with refusing():
            body: dict[str, Any] = servlet.parse_json_object_from_request(self)  # type: ignore[arg-type]
        return body


def refusal_of(refusal: Refused) -> web.Response:
    """As the client gets it."""
    return web.json_response({"errcode": refusal.errcode, "error": str(refusal)}, status=refusal.status)


def _fits_a_column(value: Any) -> bool:
    if not isinstance(value, str):
        return isinstance(value, int)
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
