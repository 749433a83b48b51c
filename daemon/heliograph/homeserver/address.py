"""Checks the URLs of a homeserver and of its authorization server, and writes the paths and queries of requests."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from yarl import URL

from heliograph.core.text.clean import clean_line
from heliograph.errors import EXIT_USAGE, UserError

_QUERY_SAFE = "!$*,:@/()"
"""Characters that RFC 3986 allows in a query and that are frequent in Matrix ids. Unquoted, filters stay short."""

_MAX_URL = 2048
_UNFIT_IN_URL = frozenset(' "<>\\^`{|}#')
"""Characters that RFC 3986 allows nowhere in a URL, and the mark of a fragment."""


def check_homeserver_url(text: str) -> str:
    """The URL in the form on which requests are built: host name in ASCII, no slash at the end.

    Raises UserError unless the URL is https, or http to this very machine, since an access token is sent there.
    """
    try:
        url = URL(text)
        # yarl reads the port only when asked, and raises only then.
        host, _ = url.host, url.explicit_port
    except ValueError as error:
        raise _refusal(f"{_shown(text)} is not a URL: {clean_line(str(error), 100)}.") from None
    if url.scheme not in ("https", "http") or not host or any(c.isspace() or not c.isprintable() for c in text):
        raise _refusal(f"{_shown(text)} is not the URL of a homeserver.")
    if "@" in text:
        raise _refusal("The URL of a homeserver holds no user name and no password.")
    if "?" in text or "#" in text:
        raise _refusal("The URL of a homeserver has no part after ? or #.")
    if url.scheme == "http" and not is_loopback(host):
        raise UserError(
            f"{_shown(text)} is not encrypted: anyone on the way could read your messages and take your account.",
            "Use https. Plain http is accepted only for a homeserver on this machine (localhost).",
            exit_code=EXIT_USAGE,
        )
    return str(url).rstrip("/")


def is_loopback(host: str) -> bool:
    """True for localhost and for loopback addresses, on which no other machine can listen."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe_url(text: str, homeserver_url: str) -> bool:
    """True for a URL of a homeserver's authorization server to which tokens may be sent, and which may be shown as one
    line: https, without user name and fragment. Plain http is for a homeserver on this machine: another one must not
    make us talk to what listens here."""
    if len(text) > _MAX_URL or not text.isascii() or not text.isprintable() or _UNFIT_IN_URL.intersection(text):
        return False
    try:
        url = URL(text, encoded=True)
        # yarl reads the port only when asked, and raises only then.
        host, _ = url.host, url.explicit_port
    except ValueError:
        return False
    if not host or "@" in url.raw_authority:
        return False
    is_local = is_loopback(host) and is_loopback(URL(homeserver_url).host or "")
    return url.scheme == "https" or (url.scheme == "http" and is_local)


def segment(text: str) -> str:
    """`text` quoted as one segment of a path: ids may hold slashes, question marks and anything else."""
    return quote(text, safe="", errors="replace")


def encode_query(query: Mapping[str, str]) -> str:
    """The part of a URL after the question mark."""
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query.items())


@lru_cache(maxsize=32)
def _quoted(text: str) -> str:
    """The text quoted for a query. Cached, since each poll sends the same filter, and quoting a filter costs more time
    than the rest of a request."""
    return quote(text, safe=_QUERY_SAFE, errors="replace")


def _refusal(title: str) -> UserError:
    return UserError(title, "Give it like https://matrix.example.org.", exit_code=EXIT_USAGE)


def _shown(text: str) -> str:
    return repr(clean_line(text, 200))
