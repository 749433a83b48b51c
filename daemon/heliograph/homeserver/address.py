"""Where a homeserver is, and how its paths and queries are written."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from heliograph.errors import EXIT_USAGE, UserError

_QUERY_SAFE = "!$*,:@/()"
"""Allowed in a query by RFC 3986 and frequent in Matrix ids: left as they are, filters stay short."""


def check_homeserver_url(url: str) -> str:
    """The URL without a slash at its end. UserError unless it is https, or http to this very machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _refusal(f"{_shown(url)} is not a URL: {error}.") from None
    if parts.scheme not in ("https", "http") or not host or any(c.isspace() or not c.isprintable() for c in url):
        raise _refusal(f"{_shown(url)} is not the URL of a homeserver.")
    if parts.username is not None or parts.password is not None:
        raise _refusal("The URL of a homeserver holds no user name and no password.")
    if parts.query or parts.fragment:
        raise _refusal("The URL of a homeserver has no part after ? or #.")
    if parts.scheme == "http" and not is_loopback(host):
        raise UserError(
            f"{_shown(url)} is not encrypted: anyone on the way could read your messages and take your account.",
            "Use https. Plain http is accepted only for a homeserver on this machine (localhost).",
            exit_code=EXIT_USAGE,
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """True for localhost and the loopback addresses, which no other machine can listen on."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def segment(text: str) -> str:
    """One segment of a path: ids hold slashes, question marks and anything else."""
    return quote(text, safe="", errors="replace")


def encode_query(query: Mapping[str, str]) -> str:
    """The part of a URL after the question mark."""
    return urlencode(query, quote_via=quote, safe=_QUERY_SAFE, errors="replace")


def _refusal(title: str) -> UserError:
    return UserError(title, "Give it like https://matrix.example.org.", exit_code=EXIT_USAGE)


def _shown(url: str) -> str:
    return repr(url[:200])
