"""One request to the homeserver that changes a push rule.

https://spec.matrix.org/v1.17/client-server-api/#push-rules-api
"""

from __future__ import annotations

from typing import Any

from heliograph.core.events import Json
from heliograph.core.value_type import value_type


@value_type
class Put:
    """Makes the rule, or replaces it: on top of its kind, unless it is to stand next to another rule of the user's."""

    kind: str
    rule_id: str
    body: Json
    before: str | None = None
    after: str | None = None


@value_type
class SetEnabled:
    """Switches the rule on or off."""

    kind: str
    rule_id: str
    enabled: bool


@value_type
class SetActions:
    """Changes what happens when the rule matches."""

    kind: str
    rule_id: str
    actions: tuple[Any, ...]


@value_type
class Delete:
    """Removes the rule."""

    kind: str
    rule_id: str


RuleChange = Put | SetEnabled | SetActions | Delete
