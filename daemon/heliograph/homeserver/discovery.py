"""Finds the URL of a homeserver by its server name.

https://spec.matrix.org/v1.16/client-server-api/#well-known-uris. In place of the specification's PROMPT, each error
here names the option `--homeserver`. Identity servers are not looked at: nothing here uses one.
"""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec
from yarl import URL

from heliograph import __version__
from heliograph.errors import BadAnswer, Refused, ServerError, UserError
from heliograph.homeserver.address import check_homeserver_url
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.session import Session
from heliograph.http.unanswered import word_unanswered

_WELL_KNOWN = "/.well-known/matrix/client"
_MAX_ANSWER = 64 * 1024
_MAX_REDIRECTS = 5
_TIMEOUT_S = 15.0


class _Misdirected(Exception):
    """The redirects of .well-known lead to http, or are too many."""


class _Homeserver(msgspec.Struct):
    base_url: str


class _WellKnown(msgspec.Struct):
    homeserver: _Homeserver = msgspec.field(name="m.homeserver")


async def find_homeserver(server_name: str, connector: aiohttp.BaseConnector | None = None) -> str:
    """The base URL of the homeserver for this server name, after a homeserver has answered there. Raises UserError.

    The request for .well-known is made over `connector`, which is closed afterwards.
    """
    base_url = await _ask_well_known(server_name, connector)
    if base_url is None:
        return await check_homeserver(f"https://{server_name}", named_by=server_name)
    try:
        url = check_homeserver_url(base_url)
    except UserError as error:  # FAIL_ERROR
        raise _misconfigured(server_name, f"names a homeserver that cannot be used. {error.title}") from None
    return await check_homeserver(url, named_by=server_name)


async def check_homeserver(url: str, named_by: str = "") -> str:
    """The URL without a slash at its end, after a homeserver has answered there. Raises UserError, which blames
    `named_by`, the server whose .well-known named this URL."""
    session = Session(url)
    try:
        answer = await session.request_json("GET", "/_matrix/client/versions", timeout_s=_TIMEOUT_S)
    except (BadAnswer, Refused) as error:  # FAIL_ERROR
        raise _no_homeserver(session.homeserver_url, str(error), named_by) from error
    except ServerError as error:
        raise UserError(
            f"The homeserver at {session.homeserver_url} cannot be reached: {error}.",
            _hint(named_by),
        ) from error
    finally:
        await session.close()
    versions = answer.get("versions") if isinstance(answer, dict) else None
    if not isinstance(versions, list) or not any(isinstance(version, str) for version in versions):
        raise _no_homeserver(session.homeserver_url, "names no versions of the specification", named_by)
    return session.homeserver_url


async def _ask_well_known(server_name: str, connector: aiohttp.BaseConnector | None) -> str | None:
    """The base URL in the server's .well-known; None: the server has none (the specification's IGNORE)."""
    try:
        status, body = await _get(URL(f"https://{_host(server_name)}{_WELL_KNOWN}"), connector)
    except _Misdirected as error:
        raise _misconfigured(server_name, plain_line(str(error))) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _unreachable(server_name, word_unanswered(error)) from error
    if status == 404:
        return None
    if status != 200:  # FAIL_PROMPT, as all that follow
        raise _misconfigured(server_name, f"answered HTTP {status}")
    if len(body) > _MAX_ANSWER:
        raise _misconfigured(server_name, "is far too large")
    try:
        base_url = msgspec.json.decode(body, type=_WellKnown).homeserver.base_url
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _misconfigured(server_name, f"does not name a homeserver: {plain_line(str(error))}") from None
    return base_url


async def _get(url: URL, connector: aiohttp.BaseConnector | None) -> tuple[int, bytes]:
    """The status and the body, cut off somewhat beyond the largest allowed size. Follows redirects only over https:
    whoever can change the answer on its way decides where the password goes."""
    headers = {"Accept": "application/json", "User-Agent": f"Heliograph/{__version__}"}
    async with (
        asyncio.timeout(_TIMEOUT_S),
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers) as http,
    ):
        # By hand, since aiohttp would follow a redirect to http as well. Test: test_other_redirects_are_refused.
        for _ in range(_MAX_REDIRECTS + 1):
            async with http.get(url, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status not in (301, 302, 303, 307, 308) or location is None:
                    return response.status, await _read(response.content)
                url = url.join(URL(location))
                if url.scheme != "https":
                    raise _Misdirected(f"leads to {location}, which is not https")
        raise _Misdirected(f"leads on more than {_MAX_REDIRECTS} times")


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > _MAX_ANSWER:
            break
    return bytes(body)


def _host(server_name: str) -> str:
    """The server name without its port; an IPv6 address keeps its brackets."""
    if server_name.startswith("["):
        return server_name.partition("]")[0] + "]"
    return server_name.partition(":")[0]


def _hint(named_by: str) -> str:
    if not named_by:
        return "Check the URL and your connection."
    return "Check the spelling and your connection, or name the homeserver: --homeserver https://..."


def _unreachable(server_name: str, why: str) -> UserError:
    return UserError(f"{plain_line(server_name)} cannot be reached: {why}.", _hint(server_name))


def _misconfigured(server_name: str, what: str) -> UserError:
    return UserError(
        f"{_WELL_KNOWN} of {plain_line(server_name)} {what.rstrip('.')}.",
        "Tell whoever runs the server, and name the homeserver yourself: --homeserver https://...",
    )


def _no_homeserver(url: str, why: str, named_by: str) -> UserError:
    hint = "Check the URL: it is the one that your Matrix client calls the homeserver."
    if named_by:
        hint = f"If the homeserver of {plain_line(named_by)} is elsewhere, name it: --homeserver https://..."
    return UserError(f"There is no Matrix homeserver at {plain_line(url)}: it {why}.", hint)
