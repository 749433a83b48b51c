"""The push rules in force: the last good ones, whatever the homeserver sends."""

from __future__ import annotations

import logging
from dataclasses import replace

from heliograph.core.events import Sync
from heliograph.core.push.rule import KINDS
from heliograph.core.push.rules import Ruleset
from heliograph.status import AccountStatus

log = logging.getLogger(__name__)

BASE_TYPES = frozenset(
    {
        "m.room.message",
        "m.room.encrypted",
        "m.sticker",
        "m.call.invite",
        "m.call.notify",
        "org.matrix.msc4075.rtc.notification",
        "m.room.redaction",
        "m.room.tombstone",
        "m.poll.start",
        "org.matrix.msc3381.poll.start",
    }
)
"""Timeline events that predefined rules let ring, or that withdraw what rang. The ruleset adds what it names."""
TOLD_PROBLEMS = 3


class Rulebook:
    """One account's rules. Problems with them go into its status."""

    def __init__(self, user_id: str, status: AccountStatus) -> None:
        self._status = status
        self.ruleset = Ruleset.predefined(user_id)
        self.event_types = self.ruleset.event_types(BASE_TYPES)
        """What to ask of /sync, so that all that may ring comes; None: every type."""

    def check(self, sync: Sync) -> Sync:
        """New rules hold for the very sync that brought them; unusable ones are not kept."""
        rules = sync.account_data.push_rules
        if rules is None or self.take(rules):
            return sync
        return replace(sync, account_data=replace(sync.account_data, push_rules=None))

    def take(self, rules: object) -> bool:
        """Content of `m.push_rules`. Whether it can be used."""
        content = rules.get("global") if isinstance(rules, dict) else None
        if not isinstance(content, dict):
            return self._keep("the homeserver sent push rules without a `global` part")
        if not all(isinstance(content.get(kind, []), list) for kind in KINDS):
            return self._keep("the homeserver sent push rules that are not lists")
        ruleset = Ruleset.parse(content)
        if ruleset.problems and not ruleset.rules:
            return self._keep("the homeserver sent push rules of which none can be read")
        self.ruleset = ruleset
        self.event_types = self.ruleset.event_types(BASE_TYPES)
        self._status.rules_problem = "; ".join(self.ruleset.problems[:TOLD_PROBLEMS]) or None
        return True

    def _keep(self, problem: str) -> bool:
        self._status.rules_problem = f"{problem}; the last good ones stay in force"
        log.warning("Unusable push rules: the last good ones stay in force")
        return False
