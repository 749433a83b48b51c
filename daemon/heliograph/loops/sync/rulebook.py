"""Keeps the push rules in force: the last good ones, whatever the homeserver sends.

A ruleset with a kind that is no list, or of which no rule can be read, is not taken: losing all mutes is worse than old
rules. A single broken rule is left out. Both are told in `heliograph status`.
Test: test_unusable_rules_leave_the_last_good_ones_in_force.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from heliograph.core.events import Sync
from heliograph.core.push.rule import KINDS
from heliograph.core.push.rules import Ruleset
from heliograph.core.record import AccountState
from heliograph.core.sync.calls import ENDING_TYPES

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
        *ENDING_TYPES,
    }
)
"""Types of timeline events that predefined rules let ring, or that withdraw what rang.

To these /sync's filter adds the types that the user's own rules name; a rule of theirs without a type opens the filter
to all. Test: test_more_types_than_a_filter_can_carry_are_all_types.
"""
TOLD_PROBLEMS = 3


class Rulebook:
    """Keeps the account's push rules, and what is wrong with the newest ones."""

    def __init__(self, user_id: str) -> None:
        self.problem: str | None = None
        """What is wrong with the newest rules, in words for the user."""
        self.ruleset = Ruleset.predefined(user_id)
        self.event_types = self.ruleset.event_types(BASE_TYPES)
        """Event types to name in the filter of /sync, so that everything comes that may ring; None: every type."""

    def remember(self, account: AccountState) -> None:
        """Takes the last good rules from the ledger, and what was wrong with newer ones."""
        try:
            if account.push_rules is not None:
                self._take(account.push_rules)
        except _Unusable as unusable:
            self._tell(f"{unusable}; the predefined ones are in force")
        if account.rules_problem is not None:
            self._tell(account.rules_problem)

    def check(self, sync: Sync) -> Sync:
        """Takes the push rules in a sync, so that they hold for this very sync.

        Returns the sync as it is to be planned: if its rules are unusable, with only the problem in their place.
        """
        rules = sync.account_data.push_rules
        if rules is None:
            return sync
        try:
            self._take(rules)
        except _Unusable as unusable:
            problem = f"{unusable}; the last good ones stay in force"
            self._tell(problem)
            return _with_account_data(sync, push_rules=None, rules_problem=problem)
        return _with_account_data(sync, rules_problem="")

    def before(self, sync: Sync, account: AccountState) -> Ruleset | None:
        """The rules from before this sync; None: it brings no others, or there were none."""
        if sync.account_data.push_rules is None or account.push_rules is None:
            return None
        try:
            return _parse(account.push_rules)
        except _Unusable:
            return None

    def _tell(self, problem: str) -> None:
        self.problem = problem
        log.warning("Unusable push rules: %s", problem)

    def _take(self, rules: object) -> None:
        """Content of `m.push_rules`. Raises _Unusable."""
        ruleset = _parse(rules)
        self.ruleset = ruleset
        self.event_types = ruleset.event_types(BASE_TYPES)
        self.problem = "; ".join(ruleset.problems[:TOLD_PROBLEMS]) or None


class _Unusable(Exception):
    """These push rules cannot be taken. The message says why."""


def _parse(rules: object) -> Ruleset:
    """The ruleset in the content of `m.push_rules`. Raises _Unusable."""
    content = rules.get("global") if isinstance(rules, dict) else None
    if not isinstance(content, dict):
        raise _Unusable("the homeserver sent push rules without a `global` part")
    if not all(isinstance(content.get(kind, []), list) for kind in KINDS):
        raise _Unusable("the homeserver sent push rules that are not lists")
    try:
        ruleset = Ruleset.parse(content)
    except Exception as error:
        log.exception("Unexpected fault in reading push rules")
        raise _Unusable("the push rules find a fault of Heliograph's own") from error
    # No rules at all may be meant: only rules that were there and cannot be read are a reason to keep the old ones.
    if ruleset.problems and not ruleset.rules:
        raise _Unusable("the homeserver sent push rules of which none can be read")
    return ruleset


def _with_account_data(sync: Sync, **changes: Any) -> Sync:
    return replace(sync, account_data=replace(sync.account_data, **changes))
