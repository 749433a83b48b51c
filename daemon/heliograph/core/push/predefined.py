"""The predefined rules of the specification, for homeservers that send none.

https://spec.matrix.org/v1.17/client-server-api/#predefined-rules. Since 1.17 none of them looks for mentions in the
body; a homeserver that still has such rules sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_SPEC = "https://spec.matrix.org/v1.17/client-server-api/"

SPEC_LINKS: Mapping[str, str] = MappingProxyType(
    {
        "override/.m.rule.master": f"{_SPEC}#default-override-rules",
        "override/.m.rule.suppress_notices": f"{_SPEC}#default-override-rules",
        "override/.m.rule.invite_for_me": f"{_SPEC}#default-override-rules",
        "override/.m.rule.member_event": f"{_SPEC}#default-override-rules",
        "override/.m.rule.is_user_mention": f"{_SPEC}#_m_rule_is_user_mention",
        "override/.m.rule.is_room_mention": f"{_SPEC}#_m_rule_is_room_mention",
        "override/.m.rule.tombstone": f"{_SPEC}#mruletombstone",
        "override/.m.rule.reaction": f"{_SPEC}#mrulereaction",
        "override/.m.rule.room.server_acl": f"{_SPEC}#default-override-rules",
        "override/.m.rule.suppress_edits": f"{_SPEC}#default-override-rules",
        "underride/.m.rule.call": f"{_SPEC}#default-underride-rules",
        "underride/.m.rule.encrypted_room_one_to_one": f"{_SPEC}#default-underride-rules",
        "underride/.m.rule.room_one_to_one": f"{_SPEC}#default-underride-rules",
        "underride/.m.rule.message": f"{_SPEC}#default-underride-rules",
        "underride/.m.rule.encrypted": f"{_SPEC}#default-underride-rules",
    }
)
"""Where the specification defines a rule, as near as its anchors allow. By kind/rule id."""

_SOUND = {"set_tweak": "sound", "value": "default"}
_RING = {"set_tweak": "sound", "value": "ring"}
_HIGHLIGHT = {"set_tweak": "highlight"}
_TWO_MEMBERS = {"kind": "room_member_count", "is": "2"}


def _match(key: str, pattern: str) -> dict[str, Any]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _rule(rule_id: str, conditions: list[Any], actions: list[Any], *, enabled: bool = True) -> dict[str, Any]:
    return {"rule_id": rule_id, "default": True, "enabled": enabled, "conditions": conditions, "actions": actions}


def predefined_rules(user_id: str) -> dict[str, list[dict[str, Any]]]:
    """The `global` object of GET /pushrules/ as a user has it who never changed anything."""
    return {
        "override": [
            # Without conditions it matches everything: switched on, it silences the account.
            _rule(".m.rule.master", [], [], enabled=False),
            # Before the mentions: a bot's notice stays silent even if it mentions the user.
            _rule(".m.rule.suppress_notices", [_match("content.msgtype", "m.notice")], []),
            _rule(
                ".m.rule.invite_for_me",
                [_match("type", "m.room.member"), _match("content.membership", "invite"), _match("state_key", user_id)],
                ["notify", _SOUND],
            ),
            _rule(".m.rule.member_event", [_match("type", "m.room.member")], []),
            _rule(
                ".m.rule.is_user_mention",
                [{"kind": "event_property_contains", "key": r"content.m\.mentions.user_ids", "value": user_id}],
                ["notify", _SOUND, _HIGHLIGHT],
            ),
            _rule(
                ".m.rule.is_room_mention",
                [
                    {"kind": "event_property_is", "key": r"content.m\.mentions.room", "value": True},
                    {"kind": "sender_notification_permission", "key": "room"},
                ],
                ["notify", _HIGHLIGHT],
            ),
            _rule(
                ".m.rule.tombstone",
                [_match("type", "m.room.tombstone"), _match("state_key", "")],
                ["notify", _HIGHLIGHT],
            ),
            # Behind the mentions: a reaction or an edit that mentions the user rings all the same.
            _rule(".m.rule.reaction", [_match("type", "m.reaction")], []),
            _rule(".m.rule.room.server_acl", [_match("type", "m.room.server_acl"), _match("state_key", "")], []),
            _rule(
                ".m.rule.suppress_edits",
                [{"kind": "event_property_is", "key": r"content.m\.relates_to.rel_type", "value": "m.replace"}],
                [],
            ),
        ],
        "content": [],
        "room": [],
        "sender": [],
        "underride": [
            _rule(".m.rule.call", [_match("type", "m.call.invite")], ["notify", _RING]),
            _rule(
                ".m.rule.encrypted_room_one_to_one",
                [_TWO_MEMBERS, _match("type", "m.room.encrypted")],
                ["notify", _SOUND],
            ),
            _rule(
                ".m.rule.room_one_to_one",
                [_TWO_MEMBERS, _match("type", "m.room.message")],
                ["notify", _SOUND],
            ),
            _rule(".m.rule.message", [_match("type", "m.room.message")], ["notify"]),
            _rule(".m.rule.encrypted", [_match("type", "m.room.encrypted")], ["notify"]),
        ],
    }
