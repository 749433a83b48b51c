"""Asks the homeserver what it can do: GET /versions."""

from __future__ import annotations

from typing import Any

from heliograph.errors import ServerError
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.decoding import decode_as, optional
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import Features

_DIRECT_PUSH = ("org.matrix.msc3361", "org.matrix.msc3361.stable")
_REMOTE_TOGGLE = ("org.matrix.msc3881", "org.matrix.msc3881.stable")
_THREAD_SUBSCRIPTIONS = ("org.matrix.msc4306", "org.matrix.msc4306.stable")


async def fetch_features(session: Session) -> Features:
    """The homeserver's features. Asked with the access token, since Synapse enables experiments for single users.
    Raises ServerError."""
    answer = decode_as(dict[str, Any], await session.request("GET", "/_matrix/client/versions"))
    flags = optional(answer, dict, "unstable_features") or {}
    versions = optional(answer, list, "versions") or []
    return Features(
        versions=tuple(plain_line(version, 20) for version in versions[:100] if isinstance(version, str)),
        has_direct_push=any(flags.get(flag) is True for flag in _DIRECT_PUSH),
        has_remote_toggle=any(flags.get(flag) is True for flag in _REMOTE_TOGGLE),
        has_thread_subscriptions=any(flags.get(flag) is True for flag in _THREAD_SUBSCRIPTIONS),
        software=await _software(session),
    )


async def _software(session: Session) -> str | None:
    """The name of the server software; None: it is told only to other homeservers, on another port, as often is so."""
    try:
        answer = await session.request_json("GET", "/_matrix/federation/v1/version", timeout_s=5, limit=64 * 1024)
    except ServerError:
        return None
    server = answer.get("server") if isinstance(answer, dict) else None
    name = server.get("name") if isinstance(server, dict) else None
    return plain_line(name, 40) or None if isinstance(name, str) else None
