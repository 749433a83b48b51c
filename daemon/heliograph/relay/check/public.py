"""The public address: whether the reverse proxy leads through the relay what the relay has to see.

Each request bears a mark, and the relay is asked whether it met that mark. A route that goes past the relay is no
error to anybody: desktops only get no notifications, or phones ring for what was read.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from urllib.parse import quote

from heliograph.core.finding import Finding, bad, good
from heliograph.relay.check.asking import API, ask, outcome_of
from heliograph.relay.check.probe import APP_ID, ProbeRoom
from heliograph.relay.check.signing_in import SignedIn
from heliograph.relay.monitoring import MET_PATH
from heliograph.relay.proxy.encounters import MARK
from heliograph.relay.proxy.upstream import Upstream

_NOTHING = quote('{"room":{"rooms":[]},"presence":{"types":[]}}')
_CURE = (
    "Lead all of /_matrix/client/ through the relay. In nginx a location that is a regular expression, as those of "
    "workers, wins over one that is none: write `location ^~ /_matrix/client/`. See docs/relay.md."
)


async def find_public_url(domain: str) -> str:
    """The base URL that the domain tells (Client-Server API, "Server Discovery"); empty if it tells none."""
    if not domain:
        return ""
    server = Upstream(f"https://{domain}")
    try:
        answer = await ask(server, "GET", "/.well-known/matrix/client")
    finally:
        await server.close()
    told = answer.json().get("m.homeserver") if answer is not None and answer.is_good else None
    url = told.get("base_url") if isinstance(told, dict) else None
    return url.rstrip("/") if isinstance(url, str) and url.startswith(("https://", "http://")) else ""


async def look_at_public(
    url: str, public: Upstream, relay: Upstream, signed_in: SignedIn, room: ProbeRoom
) -> AsyncIterator[Finding]:
    """Asks at the public address for what the relay has to see: which requests go past it, and which fail."""
    past, failed = [], []
    for method, path, body in _requests(room):
        mark = secrets.token_urlsafe(16)
        target = f"{path}{'&' if '?' in path else '?'}{MARK}={mark}"
        answer = await ask(public, method, target, signed_in.authorization, body)
        step = f"{method} {_name(path, room)} ({outcome_of(answer)})"
        met = await ask(relay, "GET", f"{MET_PATH}/{mark}")
        if answer is None or not answer.is_good:
            failed.append(step)
        elif met is None or met.json().get("met") is not True:
            past.append(step)
    if failed:
        yield bad(
            f"At the public address {url} these fail: {', '.join(failed)}.",
            "Look into the reverse proxy's log, and at what `homeserver` leads to.",
        )
    if past:
        yield bad(f"At the public address {url} these go past the relay: {', '.join(past)}.", _CURE)
    if not (failed or past):
        yield good(f"The public address {url} leads through the relay.")


async def look_at_signing_in(url: str, public: Upstream) -> Finding:
    """Where users sign in at an authentication service: whether the public address leads there for that."""
    answer = await ask(public, "GET", f"{API}/login")
    if answer is not None and answer.is_good and isinstance(answer.json().get("flows"), list):
        return good(f"At the public address {url} the authentication service answers /login.")
    return bad(
        f"At the public address {url} the authentication service does not answer: GET /login: {outcome_of(answer)}.",
        "Lead /login, /logout and /refresh to Matrix Authentication Service, and not to the relay: see docs/relay.md.",
    )


def domain_of(user_id: str) -> str:
    """The server name of a user id, for a URL."""
    return user_id.partition(":")[2]


def _requests(room: ProbeRoom) -> list[tuple[str, str, dict[str, object] | None]]:
    """One request of each kind that the relay looks into, none of which changes anything that stays."""
    removal: dict[str, object] = {"kind": None, "app_id": APP_ID, "pushkey": secrets.token_urlsafe(16)}
    return [
        ("GET", "/_matrix/client/versions", None),
        ("GET", f"{API}/sync?timeout=0&filter={_NOTHING}", None),
        ("GET", f"{API}/pushers", None),
        ("POST", f"{API}/pushers/set", removal),
        ("PUT", f"{room.path}/send/{APP_ID}/{secrets.token_hex(8)}", {}),
        ("POST", f"{room.path}/receipt/m.read/{room.event_id}", {}),
        ("POST", f"{room.path}/read_markers", {}),
        ("PUT", f"{room.path}/redact/{room.event_id}/{secrets.token_hex(8)}", {}),
        ("POST", f"{room.path}/leave", {}),
    ]


def _name(path: str, room: ProbeRoom) -> str:
    """The request in the specification's words, without what is this check's own."""
    path = path.partition("?")[0]
    if path.startswith(room.path):
        return "/" + path.removeprefix(room.path).split("/")[1]
    return path.removeprefix(API).removeprefix("/_matrix/client")
