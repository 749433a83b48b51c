"""Judges one event: whether it rings, and why. What a plan makes of the answers is `core.sync.plan`'s business."""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.encryption.values import Clear
from heliograph.core.events import Event
from heliograph.core.push.context import Context
from heliograph.core.push.decrypted import sealed
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import SILENT, Verdict
from heliograph.core.record import AccountState, Decision, Judged, LockedEvent
from heliograph.core.room import RoomFacts
from heliograph.core.sync.calls import is_for
from heliograph.core.sync.invites import is_invite_id
from heliograph.core.sync.situation import Situation

SERVER_RULE = "homeserver"
"""Stands in place of a rule's name where the homeserver judged (MSC3361, GET /notifications): it names no rule."""
FROM_BACKUP = "its key came from the key backup"
FROM_UNSIGNED = "its sender's device is not verified by its owner"
IGNORED = "its sender is ignored"
DELETED = "deleted by its sender or a moderator"


class Judge:
    """Answers for one event at a time, and remembers none of them.

    `situation.account` must have the account data of the sync that brought the events: a user who is ignored by this
    very sync is silent in it already. One who no longer is stays silent in it, but for what the homeserver lists.
    """

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._me = situation.me
        self._ignored = situation.account.ignored_users
        self._silence = _why_account_is_silent(situation.account)
        self._late = {event.event_id for event in situation.late}

    def apply_rules(self, event: Event, facts: RoomFacts) -> Verdict:
        """The verdict of the push rules on an event in a room with these facts.

        If they have changed since the last sync, once or more often, the homeserver tells which of them held when the
        event came: it judged the event then. Of an encrypted event it knows no word; but where it let the event ring
        by one of the rulesets and not by the other, this tells which of them goes for its words, too.
        Tests: test_the_list_tells_which_rules_held_when_an_event_came,
        test_the_list_tells_which_rules_go_for_the_words_of_an_encrypted_event.
        """
        known, context = self._situation, facts.context(self._me)
        if event.thread_root is not None and event.thread_root in known.subscriptions:
            context = replace(context, thread_subscribed=known.subscriptions[event.thread_root])
        ruleset = self._ruleset_of_then(event, context)
        return known.listed.get(event.event_id, SILENT) if ruleset is None else ruleset.judge(event.raw, context)

    def _ruleset_of_then(self, event: Event, context: Context) -> Ruleset | None:
        """The ruleset that held when the event came, as far as the homeserver tells. None: another one than those of
        this sync and the last one did, since they changed twice."""
        known, has_rung = self._situation, event.event_id in self._situation.listed
        is_told = has_rung or known.is_list_whole
        # The list tells of what came since the last sync: a late event may have rung long before. An invite has an id
        # there that no sync tells. Test: test_an_invite_goes_by_the_present_rules_though_no_list_names_it.
        is_unnamed = event.event_id in self._late or is_invite_id(event.event_id)
        if known.earlier_ruleset is None or not is_told or is_unnamed:
            return known.ruleset
        is_clear = event.event_id in known.clear
        seen = sealed(event.raw) if is_clear else event.raw
        candidates = (known.ruleset, known.earlier_ruleset)
        held = (each for each in candidates if each.judge(seen, context).notify is has_rung)
        return next(held, known.ruleset if is_clear else None)

    def judge(self, event: Event, verdict: Verdict, why_silent: str | None = None) -> Judged:
        """The judgement of an event on which the rules, or the homeserver, came to this verdict.

        `why_silent`: a reason known already for which the event does not ring, whatever the verdict.
        """
        why_silent = why_silent or self._why_silent(event, verdict)
        if why_silent is not None:
            return self.silence(event, why_silent, verdict.rule)
        return self._record(event, Decision.RING, verdict.rule or SERVER_RULE, verdict.rule)

    def silence(self, event: Event, why: str, rule: str | None = None) -> Judged:
        """The judgement of an event that does not ring for this reason."""
        return self._record(event, Decision.SILENT, why, rule)

    def is_ignored(self, event: Event) -> bool:
        """Returns True if the user ignores the sender of the event."""
        return event.sender in self._ignored

    def is_hidden(self, event: Event) -> bool:
        """Returns True if the user wants to see nothing from the device that sent the event."""
        clear = self._clear(event)
        return clear is not None and clear.is_hidden

    def locked_event(self, event: Event) -> LockedEvent | None:
        """The event as it is kept until its room key comes. None if no key would open it, or nobody would miss it."""
        locked = self._situation.locked.get(event.event_id)
        if locked is None or locked.key is None or not locked.may_open:
            return None
        is_unwanted = event.sender == self._me or event.sender in self._ignored or event.is_redacted
        return None if is_unwanted else LockedEvent(event, locked.key)

    def _why_silent(self, event: Event, verdict: Verdict) -> str | None:
        if event.sender == self._me:
            return "own event"
        if event.sender in self._ignored:
            return IGNORED
        if event.sender in self._situation.unignored and event.event_id not in self._situation.listed:
            return "its sender was ignored when it came"
        if not is_for(event, self._me):
            return "a call for somebody else"
        if event.is_redacted:
            return DELETED
        if self.is_hidden(event):
            return FROM_UNSIGNED
        if not verdict.notify:
            return verdict.rule or "no rule matched"
        # Last: the reason that is told should be the one that still
        # holds once another client switches this device on again.
        return self._silence

    def _record(self, event: Event, decision: Decision, reason: str, rule: str | None) -> Judged:
        return Judged(
            event_id=event.event_id,
            room_id=event.room_id,
            decision=decision,
            reason=reason,
            rule=rule,
            sender=event.sender,
            thread_root=event.thread_root,
            origin_server_ts=event.origin_server_ts,
            encryption=self._word_encryption(event),
        )

    def _word_encryption(self, event: Event) -> str:
        locked, clear = self._situation.locked.get(event.event_id), self._clear(event)
        if clear is not None and clear.is_doubtful:
            return FROM_BACKUP if clear.is_from_backup else FROM_UNSIGNED
        return "" if locked is None else locked.words

    def _clear(self, event: Event) -> Clear | None:
        return self._situation.clear.get(event.event_id)


def _why_account_is_silent(account: AccountState) -> str | None:
    if not account.is_pusher_enabled:
        return "another client switched this device's pusher off"
    return "another client silenced this device" if account.is_silenced else None
