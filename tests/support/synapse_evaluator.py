"""Synapse's own evaluator, asked which rule matches. Test data goes in as the Client-Server API would show it."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Mapping
from typing import Any

from synapse.synapse_rust.push import (
    FilteredPushRules,
    PushRule,
    PushRuleEvaluator,
    PushRules,
    get_base_rule_ids,
)

from heliograph.core.push.context import Context
from heliograph.core.push.levels import sender_level

with warnings.catch_warnings():
    # Twisted deprecates what it uses itself.
    warnings.simplefilter("ignore", DeprecationWarning)
    from synapse.push.bulk_push_rule_evaluator import _flatten_dict

Rules = Mapping[str, list[dict[str, Any]]]

JITSI = {
    "rule_id": ".im.vector.jitsi",
    "enabled": True,
    "conditions": [
        {"kind": "event_match", "key": "type", "pattern": "im.vector.modular.widgets"},
        {"kind": "event_match", "key": "content.type", "pattern": "jitsi"},
        {"kind": "event_match", "key": "state_key", "pattern": "*"},
    ],
    "actions": ["notify"],
}
"""Synapse's own addition to the specification's underride rules."""

_CLASSES = {"override": 5, "content": 4, "room": 3, "sender": 2, "underride": 1}


def _conditions(kind: str, rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    match kind:
        case "content":
            return [{"kind": "event_match", "key": "content.body", "pattern": rule["pattern"]}]
        case "room":
            return [{"kind": "event_match", "key": "room_id", "pattern": rule["rule_id"]}]
        case "sender":
            # Synapse looks at user_id, which no event has; the key is mended here so that the rest can be compared.
            return [{"kind": "event_match", "key": "sender", "pattern": rule["rule_id"]}]
    conditions: list[dict[str, Any]] = rule.get("conditions", [])
    return conditions


class Refusal(Exception):
    """Synapse does not take this rule or event at all."""


class SynapseRules:
    """The user's rules, among those of the specification since 1.17 or alone. Raises Refusal."""

    def __init__(self, user_rules: Rules, *, are_alone: bool = False) -> None:
        names = {name: name.removeprefix("global/") for name in get_base_rule_ids()}
        rules = [PushRule.from_db(name, 5, "[]", _says(shown)) for name, shown in names.items()]
        enabled = {name: False for name in names if are_alone} | {"global/override/.m.rule.master": False}
        for kind, listed in user_rules.items():
            for rule in listed:
                shown = f"{kind}/{rule['rule_id']}"
                enabled[f"global/{shown}"] = rule["enabled"]
                conditions = json.dumps(_conditions(kind, rule))
                try:
                    rules.append(PushRule.from_db(f"global/{shown}", _CLASSES[kind], conditions, _says(shown)))
                except (RuntimeError, TypeError, ValueError) as error:
                    raise Refusal(str(error).split("\n")[0]) from error
        self._filtered = FilteredPushRules(
            PushRules(rules),
            enabled,
            msc1767_enabled=False,
            msc3381_polls_enabled=False,
            msc3664_enabled=False,
            msc4028_push_encrypted_events=False,
            msc4075_enabled=False,
            msc4210_enabled=True,
            msc4306_enabled=False,
        )

    def rule_of(self, event: Mapping[str, Any], context: Context) -> str | None:
        """kind/rule id of the rule that Synapse finds."""
        level = sender_level(event["sender"], context)
        try:
            evaluator = PushRuleEvaluator(
                _flatten_dict(event),
                has_mentions="m.mentions" in event["content"],
                room_member_count=context.member_count or 0,
                sender_power_level=None if level is None else int(min(level, 2**53)),
                notification_power_levels=_levels((context.power_levels or {}).get("notifications")),
                related_events_flattened={
                    rel_type: _flatten_dict(related) for rel_type, related in context.related.items()
                },
                related_event_match_enabled=True,
                room_version_feature_flags=[],
                msc3931_enabled=True,
                msc4210_enabled=True,
                msc4306_enabled=True,
            )
            actions = evaluator.run(self._filtered, context.user_id, context.display_name, context.thread_subscribed)
        except (OverflowError, RuntimeError, TypeError, ValueError) as error:
            raise Refusal(str(error).split("\n")[0]) from error
        return next((action["value"] for action in actions if isinstance(action, dict)), None)


def rule_of(user_rules: Rules, event: Mapping[str, Any], context: Context) -> str | None:
    """The same for a single event."""
    return SynapseRules(user_rules).rule_of(event, context)


def _levels(notifications: Any) -> dict[str, int]:
    """As Synapse reads them in old room versions, before its evaluator sees them: what is not a number is left out."""
    levels: dict[str, int] = {}
    for key, level in notifications.items() if isinstance(notifications, dict) else ():
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            levels[key] = int(level)
    return levels


def _says(rule: str) -> str:
    return json.dumps(["notify", {"set_tweak": "rule", "value": rule}])
