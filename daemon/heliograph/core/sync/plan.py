"""What one /sync means: the program in one pure function.

`plan` turns what a sync brought, and what was known before, into all that it changes. Nothing is done here: the
ledger commits the plan, then the delivery loop acts on it.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from heliograph.core.events import (
    Event,
    InvitedRoom,
    JoinedRoom,
    Malformed,
    StrippedState,
    Sync,
)
from heliograph.core.ids import EventKey, OwnKey, RoomId, is_user_id, own_key
from heliograph.core.notification import Category
from heliograph.core.popups.privacy import Level, reduce
from heliograph.core.push.verdict import Verdict, verdict_of
from heliograph.core.record import (
    UNLISTED,
    Change,
    Content,
    Decision,
    Delivery,
    Edit,
    Judged,
    LockedEvent,
    Plan,
    Rewrite,
    RoomRecord,
    Withdrawal,
)
from heliograph.core.room import RoomFacts
from heliograph.core.sync.calls import ENDING_TYPES, Ending, ending_of, miss, rings_until
from heliograph.core.sync.invites import invite_event, invite_id, is_invite, is_invite_id
from heliograph.core.sync.needs import joined_at
from heliograph.core.sync.reading import Order, in_order, read_elsewhere
from heliograph.core.sync.situation import Mode, Situation
from heliograph.core.text.messages import Words, category_of, mark_unverified, word_event, word_invite, word_name

SERVER_RULE = "homeserver"
"""The rule's name where the server judged (MSC3361, GET /notifications): it does not say which one matched."""


PATIENCE_MS = 3000
"""How long a message waits for its key before it rings as "New encrypted message"."""
FROM_BACKUP = "its key came from the key backup"
FROM_UNSIGNED = "its sender's device is not verified by its owner"


def plan(sync: Sync, situation: Situation) -> Plan:
    """All that this sync changes."""
    return _Planner(sync, situation).plan()


def is_disputed(by_server: Plan, by_rules: Plan) -> bool:
    """Whether something would ring by the push rules that the server's list leaves out."""
    listed = {judged.event_id for judged in by_server.judged if judged.reason != UNLISTED}
    listed.update(judged.event_id for judged in by_server.rejudged)
    return any(delivery.event_id not in listed for delivery in by_rules.deliveries)


class _Planner:
    """One run of `plan`: collects judgements, deliveries and changes room by room."""

    def __init__(self, sync: Sync, situation: Situation) -> None:
        account = situation.account
        changed = sync.account_data
        self._sync = sync
        self._situation = situation
        self._me = situation.me
        self._direct_rooms = account.direct_rooms if changed.direct_rooms is None else changed.direct_rooms
        self._ignored = account.ignored_users if changed.ignored_users is None else changed.ignored_users
        is_silenced = account.is_silenced if changed.is_silenced is None else changed.is_silenced
        self._silence = _why_silent(is_silenced=is_silenced, is_pusher_enabled=account.is_pusher_enabled)
        self._records = dict(situation.rooms)
        self._touched: set[RoomId] = set()
        self._judged: dict[EventKey, Judged] = {}
        self._deliveries: dict[EventKey, Delivery] = {}
        self._listed: set[EventKey] = set()
        self._changes: list[Change] = []
        self._rejudged: dict[EventKey, Judged] = {}
        self._locked: dict[EventKey, LockedEvent] = {}
        self._unlocked: list[EventKey] = list(situation.hopeless)
        self._open: dict[RoomId | OwnKey, list[Delivery]] = {}
        for delivery in situation.open_deliveries:
            self._open.setdefault(delivery.room_id, []).append(delivery)

    def plan(self) -> Plan:
        for malformed in self._sync.malformed:
            self._judge_malformed(malformed)
        for room_id in self._sync.left:
            self._leave(room_id)
        for invited in self._sync.invited:
            self._invite(invited)
        for room in self._sync.joined:
            self._take_state(room)
        for event in self._situation.late:
            self._take_late(event)
        self._take_server_notifications()
        for room in self._sync.joined:
            self._take_timeline(room)
            self._take_reading(room)
        return Plan(
            next_batch=self._sync.next_batch,
            judged=tuple(self._judged[event_id] for event_id in in_order(self._judged, self._sync.joined)),
            deliveries=tuple(self._deliveries.values()),
            rejudged=tuple(self._rejudged.values()),
            changes=tuple(self._changes),
            rooms=tuple(
                self._records[room_id]
                for room_id in sorted(self._touched | self._situation.fresh_rooms)
                if room_id in self._situation.fresh_rooms
                or self._records[room_id] != self._situation.rooms.get(room_id)
            ),
            account_data=self._sync.account_data,
            locked=tuple(self._locked.values()),
            unlocked=tuple(self._unlocked),
        )

    # Rooms

    def _record(self, room_id: RoomId) -> RoomRecord:
        return self._records.get(room_id) or RoomRecord(RoomFacts(room_id))

    def _update(self, record: RoomRecord) -> None:
        self._records[record.facts.room_id] = record
        self._touched.add(record.facts.room_id)

    def _leave(self, room_id: RoomId) -> None:
        self._changes.extend(Withdrawal(each.event_id, "left the room") for each in self._open.get(room_id, ()))
        self._unlocked.extend(each.event_id for each in self._waiting(room_id))
        if room_id in self._records:
            self._update(RoomRecord(RoomFacts(room_id), self._records[room_id].invite_serial + 1))

    def _invite(self, invited: InvitedRoom) -> None:
        record = self._record(invited.room_id)
        facts = RoomFacts(invited.room_id)
        invite: StrippedState | None = None
        for stripped in invited.state:
            if isinstance(stripped, Malformed):
                self._judge_malformed(stripped)
                continue
            facts = facts.after(stripped, self._me)
            if stripped.type == "m.room.member" and stripped.state_key == self._me:
                invite = stripped
        record = replace(record, facts=facts)
        self._update(record)
        event = invite_event(invited.room_id, invite, self._me, record)
        verdict = self._judge_by_rules(event, facts)
        if self._find(invited.room_id, event.event_id) is not None:
            # It was listed before this sync told of the room.
            self._changes.append(Rewrite(event.event_id, self._compose(event, verdict, facts)))
        elif self._situation.mode is not Mode.DIRECT:
            self._judge(event, verdict, facts)

    def _take_state(self, room: JoinedRoom) -> None:
        record = self._record(room.room_id)
        facts = record.facts
        if facts.inviter is not None:
            self._changes.extend(
                Withdrawal(each.event_id, "joined the room")
                for each in self._open.get(room.room_id, ())
                if is_invite_id(each.event_id)
            )
            # What the stripped state told does not hold for the room itself.
            facts = replace(facts, inviter=None) if facts.is_complete else RoomFacts(room.room_id)
            record = replace(record, invite_serial=record.invite_serial + 1)
        for event in room.state:
            if isinstance(event, Malformed):
                self._judge_malformed(event)
            else:
                facts = facts.after(event, self._me)
        self._update(replace(record, facts=facts.after_summary(room.summary)))

    def _take_timeline(self, room: JoinedRoom) -> None:
        joined = joined_at(room, self._me)
        for index, event in enumerate(room.timeline):
            if isinstance(event, Malformed):
                self._judge_malformed(event)
                continue
            record = self._record(room.room_id)
            if joined is not None and index < joined:
                self._note(event, "from before you joined")
            elif self._situation.mode is not Mode.DIRECT or event.event_id in self._situation.clear:
                # What the homeserver could not read it could not judge either.
                self._judge(event, self._judge_by_rules(event, record.facts), record.facts)
            else:
                self._note(event)
                self._keep_if_locked(event)
            self._take_relation(event)
            if event.state_key is not None:
                self._update(replace(record, facts=record.facts.after(event, self._me)))

    def _take_relation(self, event: Event) -> None:
        if event.redacts is not None and event.event_id not in self._situation.clear:
            # An encrypted redaction is none: no homeserver checked whether its sender may.
            self._unlocked.append(event.redacts)
            self._changes.append(Withdrawal(event.redacts, "deleted by its sender or a moderator"))
            if event.redacts in self._deliveries:
                self._silence_delivery(event.redacts, "deleted by its sender or a moderator")
        elif event.replaces is not None and event.type == "m.room.message":
            target = self._find(event.room_id, event.replaces)
            level = self._level(event, self._record(event.room_id).facts)
            is_theirs = target is not None and target.sender == event.sender
            if target is not None and is_theirs and level is Level.FULL and not self._is_hidden(event):
                words = self._word(event)
                self._changes.append(Edit(target.event_id, words.text, words.markup))

        elif event.type in ENDING_TYPES:
            self._end_calls(event)

    def _end_calls(self, event: Event) -> None:
        for call in (*self._open.get(event.room_id, ()), *self._deliveries.values()):
            ending = ending_of(event, call, self._me) if call.room_id == event.room_id else None
            if ending is None or call.content is None:
                continue
            is_new = self._deliveries.get(call.event_id) is call
            if ending is Ending.MISSED:
                missed = miss(call.content)
                if is_new:
                    self._deliveries[call.event_id] = replace(call, content=missed)
                else:
                    self._changes.append(Rewrite(call.event_id, missed))
            elif is_new:
                self._silence_delivery(call.event_id, ending.value)
            else:
                self._changes.append(Withdrawal(call.event_id, ending.value))

    def _find(self, room_id: RoomId, event_id: EventKey) -> Delivery | None:
        known = (each for each in self._open.get(room_id, ()) if each.event_id == event_id)
        return self._deliveries.get(event_id) or next(known, None)

    def _take_reading(self, room: JoinedRoom) -> None:
        timeline = {event.event_id: place for place, event in enumerate(room.timeline) if isinstance(event, Event)}
        # What was listed and is not in the timeline may be newer than the receipts: the list says what of it is read.
        here = [
            each
            for each in self._deliveries.values()
            if each.room_id == room.room_id and (each.event_id in timeline or each.event_id not in self._listed)
        ]
        before = [each for each in self._open.get(room.room_id, ()) if not is_invite_id(each.event_id)]
        waiting = [*self._waiting(room.room_id), *(each for each in self._locked.values() if _is_in(room, each))]
        order: dict[EventKey, Order] = {event_id: (0, place) for event_id, place in self._situation.positions.items()}
        order.update({each.event_id: (0, each.position) for each in before})
        order.update({each.event_id: (0, each.position) for each in waiting if each.position})
        for event_id in self._judged:
            order.setdefault(event_id, (1, -1))
        # Known already, from a list that was ahead of its sync, or not.
        order.update({event_id: (1, place) for event_id, place in timeline.items()})
        read = read_elsewhere(room, [*before, *here, *waiting], order)
        self._unlocked.extend(each.event_id for each in waiting if each.event_id in read)
        self._changes.extend(Withdrawal(each.event_id, "read elsewhere") for each in before if each.event_id in read)
        for delivery in here:
            if delivery.event_id in read:
                self._silence_delivery(delivery.event_id, "read elsewhere")

    # Judging

    def _take_server_notifications(self) -> None:
        joined = {room.room_id for room in self._sync.joined}
        in_timelines = {event.event_id for room in self._sync.joined for event in room.timeline}
        filled = [item for item in self._situation.filled if item.event.event_id not in in_timelines]
        from_server = self._sync.notifications if self._situation.mode is not Mode.LOCAL else ()
        for item in (*filled, *from_server):
            if isinstance(item, Malformed):
                self._judge_malformed(item)
                continue
            event, why_silent = item.event, "read elsewhere" if item.is_read else None
            record = self._record(event.room_id)
            if is_invite(event, self._me):
                event = replace(event, event_id=invite_id(record))
                if record.facts.is_complete or event.room_id in joined:
                    # The list still has it after it was accepted elsewhere.
                    why_silent = "joined the room"
                elif record.facts.inviter is None and is_user_id(event.sender):
                    record = replace(record, facts=replace(record.facts, inviter=event.sender))
                    self._update(record)
            self._listed.add(event.event_id)
            verdict = verdict_of(item.actions, SERVER_RULE)
            if event.event_id in self._situation.clear:
                verdict = self._judge_by_rules(event, record.facts)
            self._judge(event, verdict, record.facts, why_silent)

    def _judge_by_rules(self, event: Event, facts: RoomFacts) -> Verdict:
        return self._situation.ruleset.judge(event.raw, facts.context(self._me))

    def _take_late(self, event: Event) -> None:
        """The second verdict counts: what is shown says what was written, goes, or comes after all."""
        self._unlocked.append(event.event_id)
        facts = self._record(event.room_id).facts
        verdict = self._judge_by_rules(event, facts)
        why_silent = self._why_silent(event, verdict)
        decision = Decision.RING if why_silent is None else Decision.SILENT
        reason = verdict.rule or SERVER_RULE if why_silent is None else why_silent
        self._rejudged[event.event_id] = replace(self._judgement(event, decision, reason), rule=verdict.rule)
        shown = self._find(event.room_id, event.event_id)
        if why_silent is None:
            content = self._compose(event, verdict, facts)
            if shown is not None:
                self._changes.append(Rewrite(event.event_id, content))
            else:
                self._deliveries[event.event_id] = _delivery(event, content)
        elif shown is not None:
            self._changes.append(Withdrawal(event.event_id, why_silent))
        self._take_relation(event)

    def _keep_if_locked(self, event: Event) -> None:
        locked = self._situation.locked.get(event.event_id)
        is_of_use = locked is not None and locked.may_open and event.sender != self._me
        if is_of_use and event.sender not in self._ignored and not event.is_redacted:
            assert locked is not None
            assert locked.key is not None
            self._locked[event.event_id] = LockedEvent(event, locked.key)

    def _waiting(self, room_id: RoomId) -> list[LockedEvent]:
        return [each for each in self._situation.waiting if each.event.room_id == room_id]

    def _judge(self, event: Event, verdict: Verdict, facts: RoomFacts, why_silent: str | None = None) -> None:
        if why_silent is None:
            self._keep_if_locked(event)
        why_silent = why_silent or self._why_silent(event, verdict)
        if why_silent is not None:
            self._note(event, why_silent, verdict.rule)
            return
        if event.event_id in self._judged:
            return
        self._judged[event.event_id] = replace(
            self._judgement(event, Decision.RING, verdict.rule or SERVER_RULE), rule=verdict.rule
        )
        due_ms = self._situation.now_ms + PATIENCE_MS if event.event_id in self._locked else 0
        self._deliveries[event.event_id] = replace(
            _delivery(event, self._compose(event, verdict, facts)), due_ms=due_ms
        )

    def _why_silent(self, event: Event, verdict: Verdict) -> str | None:
        if event.sender == self._me:
            return "own event"
        if event.sender in self._ignored:
            return "its sender is ignored"
        if event.is_redacted:
            return "deleted by its sender or a moderator"
        if self._is_hidden(event):
            return FROM_UNSIGNED
        if not verdict.notify:
            return verdict.rule or "no rule matched"
        return self._silence

    def _is_hidden(self, event: Event) -> bool:
        clear = self._situation.clear.get(event.event_id)
        return clear is not None and clear.is_hidden

    def _note(self, event: Event, why: str = UNLISTED, rule: str | None = None) -> None:
        if event.event_id not in self._judged:
            self._judged[event.event_id] = replace(self._judgement(event, Decision.SILENT, why), rule=rule)

    def _judge_malformed(self, malformed: Malformed) -> None:
        if malformed.is_our_fault and malformed.event_id is not None:
            self._judged.setdefault(
                malformed.event_id,
                Judged(malformed.event_id, malformed.room_id, Decision.MALFORMED, malformed.why),
            )
            return
        text = f"{malformed.where}\0{malformed.room_id}\0{malformed.event_id}\0{malformed.why}"
        event_id = own_key("malformed", sha256(text.encode(errors="replace")).hexdigest()[:32])
        self._judged[event_id] = Judged(
            event_id=event_id,
            room_id=malformed.room_id,
            decision=Decision.MALFORMED,
            reason=f"{malformed.where}: {malformed.why}",
        )

    def _silence_delivery(self, event_id: EventKey, why: str) -> None:
        del self._deliveries[event_id]
        judged = self._judged if event_id in self._judged else self._rejudged
        judged[event_id] = replace(judged[event_id], decision=Decision.SILENT, reason=why)

    def _compose(self, event: Event, verdict: Verdict, facts: RoomFacts) -> Content:
        is_an_invite = is_invite_id(event.event_id)
        is_direct = facts.is_direct(self._direct_rooms)
        if is_an_invite:
            is_direct = event.content.get("is_direct") is True
        words = Words(word_invite(is_direct=is_direct)) if is_an_invite else self._word(event)
        content = Content(
            room_title=word_name(facts.title(self._me)),
            sender_name=word_name(facts.name_of(event.sender)),
            text=words.text,
            markup=words.markup,
            category=Category.INVITE if is_an_invite else category_of(event),
            is_direct=is_direct,
            is_highlight=verdict.highlight,
            sound=verdict.sound,
            avatar=facts.picture(event.sender, is_direct=is_direct),
            thread=None if event.thread_root is None else self._situation.threads.get(event.thread_root, ""),
        )
        if content.category is Category.CALL:
            is_late = any(each.event_id == event.event_id for each in self._situation.late)
            until_ms = rings_until(event, self._situation.now_ms, is_late=is_late)
            content = miss(content) if until_ms is None else replace(content, rings_until_ms=until_ms)
        return reduce(content, self._level(event, facts))

    def _level(self, event: Event, facts: RoomFacts) -> Level:
        """What is not shown even while the session is open is not kept either."""
        return self._situation.privacy.level({event.room_id, word_name(facts.title(self._me)), event.sender})

    def _word(self, event: Event) -> Words:
        clear = self._situation.clear.get(event.event_id)
        words = word_event(event)
        is_doubtful = clear is not None and (clear.is_from_backup or clear.is_sender_unsigned)
        return mark_unverified(words) if is_doubtful else words

    def _judgement(self, event: Event, decision: Decision, reason: str) -> Judged:
        locked, clear = self._situation.locked.get(event.event_id), self._situation.clear.get(event.event_id)
        encryption = locked.words if locked is not None else ""
        if clear is not None and (clear.is_from_backup or clear.is_sender_unsigned):
            encryption = FROM_BACKUP if clear.is_from_backup else FROM_UNSIGNED
        return replace(_judged(event, decision, reason), encryption=encryption)


def _why_silent(*, is_silenced: bool, is_pusher_enabled: bool) -> str | None:
    if not is_pusher_enabled:
        return "another client switched this device's pusher off"
    return "another client silenced this device" if is_silenced else None


def _is_in(room: JoinedRoom, locked: LockedEvent) -> bool:
    return locked.event.room_id == room.room_id


def _delivery(event: Event, content: Content) -> Delivery:
    return Delivery(
        event_id=event.event_id,
        room_id=event.room_id,
        sender=event.sender,
        thread_root=event.thread_root,
        content=content,
    )


def _judged(event: Event, decision: Decision, reason: str) -> Judged:
    return Judged(
        event_id=event.event_id,
        room_id=event.room_id,
        decision=decision,
        reason=reason,
        sender=event.sender,
        thread_root=event.thread_root,
        origin_server_ts=event.origin_server_ts,
    )
