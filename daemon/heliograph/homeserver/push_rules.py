"""Reads and changes the push rules of the account ("Push Rules API" of the Client-Server API)."""

from __future__ import annotations

from typing import Any

import msgspec

from heliograph.core.events import Json
from heliograph.core.mending import MAX_DEPTH, mend
from heliograph.core.push.rule_change import Delete, Put, RuleChange, SetActions, SetEnabled
from heliograph.errors import BadAnswer, Refused
from heliograph.homeserver.address import segment
from heliograph.homeserver.answer import bad_answer
from heliograph.homeserver.decoding import missing_is_refused
from heliograph.homeserver.event import BROKEN
from heliograph.homeserver.session import Session

_RULES = "/_matrix/client/v3/pushrules/"


async def fetch_push_rules(session: Session) -> Json:
    """The push rules as `{"global": {...}}`. Raises ServerError."""
    body = await session.request("GET", _RULES)
    answer = _decode(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("global"), dict):
        raise BadAnswer(200, "the push rules came without global ones")
    return answer


async def change_push_rules(session: Session, change: RuleChange) -> None:
    """Makes one change, which holds for all of the user's clients once this returns. Deleting a rule that is gone is no
    error. Raises ServerError."""
    path = f"{_RULES}global/{segment(change.kind)}/{segment(change.rule_id)}"
    with missing_is_refused():
        match change:
            case Put(body=body, before=before, after=after):
                query = {name: value for name, value in (("before", before), ("after", after)) if value is not None}
                await session.request("PUT", path, query=query, body=body)
            case SetEnabled(enabled=enabled):
                await session.request("PUT", f"{path}/enabled", body={"enabled": enabled})
            case SetActions(actions=actions):
                await session.request("PUT", f"{path}/actions", body={"actions": list(actions)})
            case Delete():
                await _delete(session, path)


async def _delete(session: Session, path: str) -> None:
    try:
        await session.request("DELETE", path)
    except Refused as refusal:
        if refusal.errcode != "M_NOT_FOUND":
            raise


def _decode(body: bytes) -> Any:
    """Decodes push rules, also if another client put something in at which a strict parser stops."""
    try:
        return msgspec.json.decode(body)
    except BROKEN:
        pass
    try:
        return msgspec.json.decode(mend(body, MAX_DEPTH))
    except BROKEN:
        raise bad_answer(200, body) from None
