"""Push rules for tests: defaults for all but what the test is about."""

from __future__ import annotations

from typing import Any

from heliograph.core.events import Json
from heliograph.core.push.context import Context
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import Verdict
from support.builders import ME, make_event


def make_rule(rule_id: str = "mine", *actions: Any, **fields: Any) -> dict[str, Any]:
    """An enabled rule that notifies, unless told otherwise."""
    return {"rule_id": rule_id, "enabled": True, "actions": list(actions) or ["notify"], **fields}


def match(key: str, pattern: str) -> dict[str, Any]:
    """An `event_match` condition."""
    return {"kind": "event_match", "key": key, "pattern": pattern}


def with_content(content: Any, **event: Any) -> dict[str, Any]:
    """The JSON of an event with this content, whatever its shape."""
    return {**make_event(content={}, **event).raw, "content": content}


def with_body(body: Any, **event: Any) -> dict[str, Any]:
    """The JSON of a message with this body, whatever its type."""
    return with_content({"msgtype": "m.text", "body": body}, **event)


def judge(rules: Any, event: Json, **context: Any) -> Verdict:
    """What a ruleset says of an event, to a user of whom nothing is known but what is given."""
    return Ruleset.parse(rules).judge(event, Context(**{"user_id": ME, **context}))


def holds(condition: Any, event: Json, **context: Any) -> bool:
    """True if a rule with this condition matches, or with all of several."""
    conditions = condition if isinstance(condition, list) else [condition]
    return judge({"override": [make_rule(conditions=conditions)]}, event, **context).notify
