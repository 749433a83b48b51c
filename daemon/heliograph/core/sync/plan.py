"""What one /sync means: the program in one pure function.

`plan` turns what a sync brought, and what was known before, into all that it changes. Nothing is done here: the
ledger commits the plan, then the delivery loop acts on it.

    judging         whether one event rings, and why
    composing       what its notification says
    rooms           what is known of the rooms, event by event
    relations       what an event does to earlier ones
    takebacks       what goes with a room, or with somebody who is ignored
    read_elsewhere  what was read on another device
    collected       all of that, until it is a plan
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from heliograph.core.events import Event, InvitedRoom, JoinedRoom, Malformed, ServerNotification, StrippedState, Sync
from heliograph.core.ids import RoomId, is_user_id
from heliograph.core.push.verdict import Verdict, verdict_of
from heliograph.core.record import UNLISTED, Decision, Plan, Rewrite
from heliograph.core.room import RoomFacts
from heliograph.core.sync.calls import ENDING_TYPES
from heliograph.core.sync.collected import Collected
from heliograph.core.sync.composing import Composer
from heliograph.core.sync.gaps import gap_record
from heliograph.core.sync.invites import invite_event, invite_id, is_invite, is_invite_id
from heliograph.core.sync.joining import has_left_meanwhile, joined_at, predecessor_of
from heliograph.core.sync.judging import SERVER_RULE, Judge
from heliograph.core.sync.read_elsewhere import ReadElsewhere
from heliograph.core.sync.reading import READ, has_counted
from heliograph.core.sync.relations import Relations
from heliograph.core.sync.rooms import LatestRooms
from heliograph.core.sync.situation import Mode, Situation
from heliograph.core.sync.takebacks import LEFT, MOVED, Takebacks

PATIENCE_MS = 3000
"""How long a message waits for its key before it rings as "New encrypted message"."""
CLOCK_SLACK_MS = 3_600_000
"""How far the homeserver's clock may be from ours."""
JOINED = "joined the room"
BEFORE = "from before you joined"


def plan(sync: Sync, situation: Situation) -> Plan:
    """All that this sync changes."""
    # The sync's own account data holds for the events beside it, unless the homeserver tells otherwise.
    account = situation.account.after(sync.account_data)
    unignored = situation.account.ignored_users - account.ignored_users
    return _Planner(sync, replace(situation, account=account, unignored=unignored)).plan()


def is_disputed(by_server: Plan, by_rules: Plan) -> bool:
    """Returns True if an event would ring by the push rules that the homeserver's list leaves out."""
    listed = {judged.event_id for judged in by_server.judged if judged.reason != UNLISTED}
    listed.update(judged.event_id for judged in by_server.rejudged)
    return any(delivery.event_id not in listed for delivery in by_rules.deliveries)


class _Planner:
    """One run of `plan`: takes the sync's parts in an order in which each finds what it depends on."""

    def __init__(self, sync: Sync, situation: Situation) -> None:
        self._sync = sync
        self._situation = situation
        self._me = situation.me
        self._rooms = LatestRooms(situation)
        self._collected = Collected(situation)
        self._judge = Judge(situation)
        self._composer = Composer(situation)
        self._relations = Relations(situation, self._collected, self._judge, self._composer)
        self._takebacks = Takebacks(self._collected, situation.me)
        self._read = ReadElsewhere(sync, situation, self._collected, self._rooms)
        # Who is invited again has not left.
        back_in = {invited.room_id for invited in sync.invited} | {joined.room_id for joined in sync.joined}
        self._left = frozenset(sync.left) - back_in
        self._joined_ms: dict[RoomId, int] = {}
        """When the user joined a room in this sync, by the homeserver's clock."""

    def plan(self) -> Plan:
        sync, collected = self._sync, self._collected
        for malformed in sync.malformed:
            collected.note_malformed(malformed)
        if sync.account_data.ignored_users:
            self._takebacks.ignore(sync.account_data.ignored_users)
        for room_id in sync.left:
            self._takebacks.leave(room_id)
            self._rooms.leave(room_id)
        for invited in sync.invited:
            self._invite(invited)
        # State of all rooms first: what is judged below needs their facts.
        for room in sync.joined:
            self._take_state(room)
        for event in self._situation.late:
            self._take_late(event)
        # Lists before timelines: of an event in both the list tells more, and the first judgement counts.
        self._take_notifications()
        for room in sync.joined:
            if room.gap:
                collected.judge(gap_record(room))
            self._take_timeline(room)
            self._take_sticky(room)
            self._read.take(room)
        # After all timelines: the room that was left for another may stand after it in the sync.
        for room in sync.joined:
            if (old := predecessor_of(room)) is not None:
                self._takebacks.move(self._rooms.facts(old), room.room_id)
        planned = collected.as_plan(sync.next_batch, sync.joined, self._rooms.changed(), sync.account_data)
        is_first = not self._situation.account.has_counted and any(map(has_counted, sync.joined))
        return replace(planned, has_counted=is_first)

    # Rooms

    def _invite(self, invited: InvitedRoom) -> None:
        room_id, facts = invited.room_id, RoomFacts(invited.room_id)
        invite: StrippedState | None = None
        for stripped in invited.state:
            if isinstance(stripped, Malformed):
                self._collected.note_malformed(stripped)
                continue
            facts = facts.after(stripped, self._me)
            if stripped.type == "m.room.member" and stripped.state_key == self._me:
                invite = stripped
        record = replace(self._rooms.record(room_id), facts=facts)
        self._rooms.update(record)
        event = invite_event(room_id, invite, self._me, record)
        verdict = self._judge.apply_rules(event, facts)
        if self._collected.find(room_id, event.event_id) is not None:
            # It was listed before this sync told of the room.
            content = self._composer.compose(event, verdict, facts)
            self._collected.changes.append(Rewrite(event.event_id, content))
        # In direct mode the homeserver's list says whether the invite rings.
        elif self._situation.mode is not Mode.DIRECT:
            self._take_event(event, verdict, facts)

    def _take_state(self, room: JoinedRoom) -> None:
        record = self._rooms.record(room.room_id)
        facts = record.facts
        if facts.inviter is not None:
            invites = [each for each in self._collected.open_in(room.room_id) if is_invite_id(each.event_id)]
            self._collected.withdraw(invites, JOINED)
            # What the stripped state told does not hold for the room itself.
            stranger = facts.inviter
            facts = replace(facts, inviter=None) if facts.is_complete else RoomFacts(room.room_id)
            facts = replace(facts, stranger=stranger)
            record = replace(record, invite_serial=record.invite_serial + 1)
        self._rooms.update(replace(record, facts=facts))
        for event in room.state:
            if isinstance(event, Malformed):
                self._collected.note_malformed(event)
        self._apply_state(room)
        joined = self._joined_at(room)
        join = None if joined is None else room.timeline[joined]
        if isinstance(join, Event):
            self._joined_ms[room.room_id] = join.origin_server_ts
        is_back = join is not None or self._has_left_meanwhile(room)
        if room.room_id in self._situation.joined and is_back:
            self._takebacks.leave(room.room_id)

    def _has_left_meanwhile(self, room: JoinedRoom) -> bool:
        since_ms = self._situation.account.last_sync_ms - CLOCK_SLACK_MS
        return has_left_meanwhile(room, self._me, known=self._situation.places, since_ms=since_ms)

    def _joined_at(self, room: JoinedRoom) -> int | None:
        return joined_at(room, self._me, was_in=room.room_id in self._situation.joined)

    def _apply_state(self, room: JoinedRoom) -> None:
        record = self._rooms.record(room.room_id)
        facts = record.facts
        for event in room.state:
            if not isinstance(event, Malformed):
                facts = facts.after(event, self._me)
        self._rooms.update(replace(record, facts=facts.after_summary(room.summary)))

    # Events

    def _take_timeline(self, room: JoinedRoom) -> None:
        """Judges the room's timeline. Before the user joined all is silent: a large room would ring for its history.
        Test: test_what_was_said_before_the_user_joined_is_silent.
        """
        joined = self._joined_at(room)
        for index, event in enumerate(room.timeline):
            if isinstance(event, Malformed):
                self._collected.note_malformed(event)
                continue
            facts = self._rooms.facts(room.room_id)
            if joined is not None and index < joined:
                self._collected.judge(self._judge.silence(event, BEFORE))
            elif self._is_moved_already(event):
                self._collected.judge(self._judge.silence(event, MOVED))
            elif self._situation.mode is not Mode.DIRECT or event.event_id in self._situation.clear:
                # Where the homeserver could not read an event, it could not judge it either.
                self._take_event(event, self._judge.apply_rules(event, facts), facts)
            else:
                self._collected.judge(self._judge.silence(event, UNLISTED))
                self._keep_if_locked(event)
            self._relations.take(event, facts, islice(room.timeline, index + 1, None))
            # Only now, since the push rules go by the facts from before the event.
            if (latest := facts.after(event, self._me)) is not facts:
                self._rooms.update(replace(self._rooms.record(room.room_id), facts=latest))
        if room.is_state_after:
            # Once more: where the timeline's state and this differ, this holds at the timeline's end (MSC4222).
            self._apply_state(room)

    def _is_moved_already(self, event: Event) -> bool:
        """Returns True for the news that a room was moved to one in which the user is."""
        replacement = event.content.get("replacement_room")
        return event.type == "m.room.tombstone" and replacement in self._situation.joined

    def _take_sticky(self, room: JoinedRoom) -> None:
        """The user's own part in a call that a gap may hide. What others did may be older than the call."""
        for event in room.sticky:
            if isinstance(event, Event) and event.type in ENDING_TYPES and event.sender == self._me:
                self._relations.take(event, self._rooms.facts(room.room_id))

    def _take_notifications(self) -> None:
        """The events that the homeserver lists as notifications: in this sync, or of what a sync left out."""
        in_timelines = {event.event_id for room in self._sync.joined for event in room.timeline}
        filled = [item for item in self._situation.filled if item.event.event_id not in in_timelines]
        from_server = self._sync.notifications if self._situation.mode is not Mode.LOCAL else ()
        for item in (*filled, *from_server):
            if isinstance(item, Malformed):
                self._collected.note_malformed(item)
            else:
                self._take_notification(item)

    def _take_notification(self, item: ServerNotification) -> None:
        event, why_silent = item.event, READ if self._read.is_listed(item) else None
        if is_invite(event, self._me):
            event = replace(event, event_id=invite_id(self._rooms.record(event.room_id)))
            if self._is_in_room(event.room_id):
                # The list still has the invite after it was accepted elsewhere.
                why_silent = JOINED
            elif event.room_id not in self._left:
                self._note_inviter(event)
        elif item.ts < self._joined_ms.get(event.room_id, 0):
            why_silent = BEFORE
        if event.room_id in self._left:
            # The list also has what came before the user left, and an invite that was taken back since.
            why_silent = LEFT
        facts = self._rooms.facts(event.room_id)
        verdict = verdict_of(item.actions, SERVER_RULE)
        # The homeserver judged only the encrypted event, in which no rule finds a mention or a keyword.
        if event.event_id in self._situation.clear:
            verdict = self._judge.apply_rules(event, facts)
        self._take_event(event, verdict, facts, why_silent)

    def _is_in_room(self, room_id: RoomId) -> bool:
        return self._rooms.facts(room_id).is_complete or any(room.room_id == room_id for room in self._sync.joined)

    def _note_inviter(self, event: Event) -> None:
        record = self._rooms.record(event.room_id)
        if record.facts.inviter is None and is_user_id(event.sender):
            self._rooms.update(replace(record, facts=replace(record.facts, inviter=event.sender)))

    def _take_late(self, event: Event) -> None:
        """An event of an earlier sync that can be read now. The second judgement counts: what is shown says what was
        written, or is withdrawn; what was silent may ring after all."""
        self._collected.unlock([event.event_id])
        facts = self._rooms.facts(event.room_id)
        verdict = self._judge.apply_rules(event, facts)
        judged = self._judge.judge(event, verdict)
        # Not by `judge`, which keeps the first judgement of an event.
        self._collected.rejudged[event.event_id] = judged
        shown = self._collected.find(event.room_id, event.event_id)
        if judged.decision is Decision.RING:
            content = self._composer.compose(event, verdict, facts)
            if shown is not None:
                self._collected.changes.append(Rewrite(event.event_id, content))
            else:
                self._collected.deliver(event, content)
        elif shown is not None:
            self._collected.withdraw([shown], judged.reason)
        self._relations.take(event, facts)

    def _take_event(self, event: Event, verdict: Verdict, facts: RoomFacts, why_silent: str | None = None) -> None:
        """An event that is judged for the first time, by this verdict unless there is a reason for silence already."""
        if why_silent is None:
            self._keep_if_locked(event)
        judged = self._judge.judge(event, verdict, why_silent)
        if self._collected.judge(judged) and judged.decision is Decision.RING:
            is_locked = event.event_id in self._collected.locked
            due_ms = self._situation.now_ms + PATIENCE_MS if is_locked else 0
            self._collected.deliver(event, self._composer.compose(event, verdict, facts), due_ms)

    def _keep_if_locked(self, event: Event) -> None:
        locked = self._judge.locked_event(event)
        if locked is not None:
            self._collected.locked[event.event_id] = locked
