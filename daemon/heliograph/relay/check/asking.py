"""Requests of the check, and what their answers say in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliograph.relay.proxy.upstream import Answer, NotAnswered, Upstream

API = "/_matrix/client/v3"


async def ask(
    server: Upstream, method: str, path: str, authorization: Mapping[str, str] | None = None, body: Any = None
) -> Answer | None:
    """The server's answer; None: it gave none."""
    try:
        return await server.ask(method, path, authorization or {}, body)
    except NotAnswered:
        return None


def text_in(answer: Answer | None, name: str) -> str:
    """The text of this name in the answer; empty if there is none."""
    value = answer.json().get(name) if answer is not None else None
    return value if isinstance(value, str) else ""


def outcome_of(answer: Answer | None) -> str:
    """What became of a request: its status, and the homeserver's words if it has any."""
    if answer is None:
        return "no answer"
    error = text_in(answer, "error")
    told = error[:200].rstrip(".") if error.isprintable() else ""
    return f"status {answer.status}" + (f": {told}" if told and not answer.is_good else "")
