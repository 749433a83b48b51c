"""One push rule, ready to be tried."""

from __future__ import annotations

from dataclasses import dataclass

from heliograph.core.push.condition import Condition
from heliograph.core.push.verdict import Verdict

KINDS = ("override", "content", "postcontent", "room", "sender", "underride")
"""In the order in which they are tried. `postcontent` is MSC4306's."""


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule of one of the `KINDS`. It matches an event if it is enabled and all its conditions hold."""

    kind: str
    rule_id: str
    enabled: bool
    conditions: tuple[Condition, ...]
    """The rule's own, and those that its kind implies (the pattern, the room, the sender)."""
    verdict: Verdict
    """The verdict on events that the rule matches."""

    @property
    def is_predefined(self) -> bool:
        """True for a rule of the server's ("server-default"), which users can disable but not remove."""
        return self.rule_id.startswith(".")

    @property
    def can_match(self) -> bool:
        """True if the rule is enabled, and every condition of it is understood."""
        return self.enabled and all(condition.can_hold for condition in self.conditions)

    @property
    def event_types(self) -> frozenset[str]:
        """The event types that the conditions name literally: the rule matches no others. Empty if they name none."""
        return next((each.event_types for each in self.conditions if each.event_types), frozenset())

    @property
    def is_about_messages(self) -> bool:
        """True if a condition looks at what in practice only messages have: a body or a msgtype."""
        return any(condition.is_about_messages for condition in self.conditions)
