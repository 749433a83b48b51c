"""A Ledger in memory, whose disk the test can fill."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from heliograph.core.delivery import OPEN_STATES, Move, State, after
from heliograph.core.encryption.values import RoomKey
from heliograph.core.ids import EventKey, RoomId, UserId, is_event_id, is_room_id
from heliograph.core.notification import Popup
from heliograph.core.popups.quiet import Through
from heliograph.core.popups.text import LINES
from heliograph.core.push.timed_mute import TimedMute
from heliograph.core.pushers.pusher import PusherKey
from heliograph.core.reading import MAIN
from heliograph.core.record import (
    UNLISTED,
    AccountState,
    Agenda,
    Change,
    Content,
    Decision,
    Delivery,
    Edit,
    Judged,
    LockedEvent,
    Plan,
    PopupRecord,
    Rewrite,
    RoomRecord,
    Withdrawal,
)
from heliograph.core.room import RoomFacts
from heliograph.core.summary.unread import UnreadMessage, UnreadRoom
from heliograph.errors import StorageError
from heliograph.ports.ledger import Committed, Settlement


class FakeLedger:
    """`ports.Ledger`. What it holds stands in public attributes, for tests to look at."""

    def __init__(self) -> None:
        self.state = AccountState()
        self.judged: dict[str, Judged] = {}
        self.judged_at: dict[EventKey, tuple[int, int]] = {}
        """Position and time of each judgement."""
        self.placed: dict[EventKey, int] = {}
        """Where events stand, by timelines."""
        self.deliveries: dict[EventKey, Delivery] = {}
        self.room_records: dict[RoomId, RoomRecord] = {}
        self.names: dict[tuple[RoomId, str], tuple[str, int]] = {}
        self.avatars: dict[tuple[RoomId, str], str] = {}
        """(room id, user id): name and when it was last written."""
        self.popup_records: dict[str, PopupRecord] = {}
        self.locked: dict[str, LockedEvent] = {}
        self.timed_mutes: dict[str, TimedMute] = {}
        self.is_full = False
        """Every call raises StorageError and keeps nothing."""
        self.commits: list[Plan] = []
        self._position = 0
        self._last_place = 0
        self._changed_since_agenda: set[str] = set()

    def _check(self) -> None:
        if self.is_full:
            raise StorageError("the fake disk is full")

    async def account(self) -> AccountState:
        self._check()
        return self.state

    async def set_pusher_enabled(self, is_enabled: bool) -> None:
        self._check()
        self.state = replace(self.state, is_pusher_enabled=is_enabled)

    async def set_switched_off(self, keys: Collection[PusherKey]) -> None:
        self._check()
        self.state = replace(self.state, switched_off=frozenset(keys))

    async def set_fallback(self, key: PusherKey | None) -> None:
        self._check()
        self.state = replace(self.state, fallback=key)

    async def rooms(self, room_ids: Collection[RoomId], names_of: Collection[UserId]) -> dict[RoomId, RoomRecord]:
        self._check()
        found = {}
        for room_id in room_ids:
            if (record := self.room_records.get(room_id)) is not None:
                wanted = {*names_of, *record.facts.heroes, record.facts.inviter}
                names = {
                    user: name for (room, user), (name, _) in self.names.items() if room == room_id and user in wanted
                }
                avatars = {user: self.avatars[room_id, user] for user in names if (room_id, user) in self.avatars}
                found[room_id] = replace(record, facts=replace(record.facts, names=names, avatars=avatars))
        return found

    async def open_deliveries(self, room_ids: Collection[RoomId]) -> list[Delivery]:
        self._check()
        return [each for each in self._open() if each.room_id in room_ids]

    async def rooms_open_by(self, senders: Collection[UserId]) -> frozenset[RoomId]:
        self._check()
        rooms = frozenset(each.room_id for each in self._open() if each.sender in senders and is_room_id(each.room_id))
        return rooms.union(each.event.room_id for each in self.locked.values())

    async def rooms_with_open_deliveries(self) -> frozenset[RoomId]:
        self._check()
        unread = (each for each in self._open() if is_event_id(each.event_id))
        open_rooms = frozenset(each.room_id for each in unread if is_room_id(each.room_id))
        return open_rooms.union(each.event.room_id for each in self.locked.values())

    async def positions(self, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
        self._check()
        return {event_id: self.judged_at[event_id][0] for event_id in event_ids if event_id in self.judged_at}

    async def places(self, event_ids: Collection[EventKey]) -> dict[EventKey, int]:
        self._check()
        return {event_id: self.placed[event_id] for event_id in event_ids if event_id in self.placed}

    async def threads(self, event_ids: Collection[EventKey]) -> dict[EventKey, str]:
        self._check()
        known = (self.judged[event_id] for event_id in event_ids if event_id in self.judged)
        return {each.event_id: each.thread_root or MAIN for each in known if each.sender is not None}

    async def locked_events(self, keys: Collection[RoomKey] | None) -> list[LockedEvent]:
        self._check()
        found = [each for each in self.locked.values() if keys is None or each.key in keys]
        return sorted(found, key=lambda each: each.position)

    async def locked_in(self, room_ids: Collection[RoomId]) -> list[LockedEvent]:
        self._check()
        return [each for each in self.locked.values() if each.event.room_id in room_ids]

    async def commit(self, plan: Plan, now_ms: int) -> Committed:
        self._check()
        self.commits.append(plan)
        self._forget_unlisted(plan.judged)
        self._judge_again(plan.rejudged)
        new = self._judge((*plan.rejudged, *plan.judged), now_ms)
        given = {each.event_id for each in (*plan.judged, *plan.rejudged)}
        new |= self._judge(
            [
                Judged(
                    each.event_id,
                    each.room_id if is_room_id(each.room_id) else None,
                    Decision.RING,
                    "",
                    sender=each.sender,
                )
                for each in plan.deliveries
                if each.event_id not in given
            ],
            now_ms,
        )
        delivered = set()
        for delivery in plan.deliveries:
            if delivery.event_id in new and delivery.event_id not in delivered:
                delivered.add(delivery.event_id)
                position, _ = self.judged_at[delivery.event_id]
                self.deliveries[delivery.event_id] = replace(
                    delivery, state=State.PENDING, position=position, attempts=0, popup_key=None, why=""
                )
        for change in plan.changes:
            self._change(change)
        for locked in plan.locked:
            position, _ = self.judged_at[locked.event_id]
            self.locked.setdefault(locked.event_id, replace(locked, position=position))
        for event_id in plan.unlocked:
            self.locked.pop(event_id, None)
        for record in plan.rooms:
            self._write_room(record, now_ms)
        for timeline in plan.timelines:
            self._place(timeline)
        data = plan.account_data
        self.state = replace(
            self.state.after(data),
            has_counted=self.state.has_counted or plan.has_counted,
            next_batch=self.state.next_batch if plan.next_batch is None else plan.next_batch,
            last_sync_ms=self.state.last_sync_ms if plan.is_empty or plan.next_batch is None else now_ms,
        )
        return Committed(len(delivered), await self.rooms_with_open_deliveries())

    async def agenda(self, now_ms: int, latest_ms: int | None = None, through: Through | None = None) -> Agenda:
        self._check()
        self._changed_since_agenda.clear()
        pending = [each for each in self._open() if each.state is State.PENDING and _passes(each, through)]
        latest_ms = max((each.due_ms for each in pending), default=0) if latest_ms is None else latest_ms
        due = [each for each in pending if each.due_ms <= now_ms or each.due_ms > latest_ms]
        touched: set[str] = {each.room_id for each in due}
        touched |= {record.key for record in self.popup_records.values() if record.is_stale}
        quoted = [each for key in touched for each in self._quoted(key)]
        return Agenda(
            deliveries=tuple(sorted([*due, *quoted], key=lambda each: each.position)),
            popups=tuple(await self.popups()),
            next_ms=min((each.due_ms for each in pending if each not in due), default=None),
            ringing=tuple(sorted(filter(_rings_until, self._open()), key=_rings_until)),
        )

    def _quoted(self, key: str) -> list[Delivery]:
        shown = [each for each in self._open() if each.state is State.SHOWN and each.popup_key == key]
        in_room = [each for each in shown if each.room_id == key]
        return [each for each in shown if each.room_id != key] + in_room[-LINES:]

    async def popups(self) -> list[PopupRecord]:
        self._check()
        found = []
        for key in sorted(self.popup_records):
            shown = await self.shown_in(key)
            found.append(replace(self.popup_records[key], size=len(shown), senders=_senders(shown)))
        return found

    async def shown_in(self, key: str) -> list[Delivery]:
        self._check()
        return [each for each in self._open() if each.state is State.SHOWN and each.popup_key == key]

    async def settle(
        self,
        settlements: Sequence[Settlement],
        *,
        shown: PopupRecord | None = None,
        closed: str | None = None,
    ) -> None:
        self._check()
        if shown is not None:
            self.popup_records[shown.key] = shown
        is_old = shown is not None and shown.key in self._changed_since_agenda
        for settlement in settlements:
            fits = self._settle(settlement, shown.key if shown is not None else None)
            is_on_screen = settlement.move in (Move.SHOWN, Move.REPLACED)
            is_old |= is_on_screen and (not fits or settlement.event_id in self._changed_since_agenda)
        if shown is not None and is_old:
            self.popup_records[shown.key] = replace(shown, is_stale=True)
        if closed is not None:
            self._forget_popup(closed)

    async def forget_popup_ids(self, server: str | None, *, is_shown_again: bool = False) -> None:
        self._check()
        for record in list(self.popup_records.values()):
            if record.popup.server == server:
                continue
            if is_shown_again:
                renewed = replace(record, popup=Popup(server or "", 0), digest="", is_stale=True)
                self.popup_records[record.key] = renewed
            else:
                self._forget_popup(record.key)

    async def counts(self) -> dict[str, int]:
        self._check()
        return {state.value: sum(each.state is state for each in self.deliveries.values()) for state in State}

    async def unread(self, messages: int = 0) -> tuple[UnreadRoom, ...]:
        self._check()
        rooms: dict[RoomId, list[Delivery]] = {}
        for each in self._open():
            if is_room_id(each.room_id) and each.content is not None:
                rooms.setdefault(each.room_id, []).append(each)
        newest_first = sorted(rooms.items(), key=lambda room: room[1][-1].position, reverse=True)
        return tuple(self._unread_room(room_id, here, messages) for room_id, here in newest_first)

    def _unread_room(self, room_id: RoomId, here: list[Delivery], messages: int) -> UnreadRoom:
        content = here[-1].content
        assert content is not None
        return UnreadRoom(
            room_id=room_id,
            title=(content.sender_name if content.is_direct else content.room_title) or room_id,
            unread=len(here),
            highlights=sum(each.content.is_highlight for each in here if each.content is not None),
            latest_ms=self._sent_ms(here[-1].event_id),
            arrived_ms=self.judged_at[here[-1].event_id][1],
            is_direct=content.is_direct,
            sender=here[-1].sender,
            messages=tuple(self._unread_message(each) for each in here[-messages:]) if messages else (),
        )

    def _unread_message(self, delivery: Delivery) -> UnreadMessage:
        content = delivery.content
        assert content is not None
        return UnreadMessage(
            event_id=delivery.event_id,
            sender=delivery.sender,
            sender_name=content.sender_name,
            text=content.text,
            sent_ms=self._sent_ms(delivery.event_id),
            category=content.category,
            state=delivery.state,
            is_highlight=content.is_highlight,
        )

    def _sent_ms(self, event_id: EventKey) -> int:
        return self.judged[event_id].origin_server_ts or self.judged_at[event_id][1]

    async def erase_history(self, *, with_unread: bool = False) -> int:
        self._check()
        kept = {State.PENDING, State.SHOWN} if with_unread else OPEN_STATES
        settled = [each for each in self.deliveries.values() if each.state not in kept]
        for each in settled:
            del self.deliveries[each.event_id]
        for event_id in self.judged.keys() - self.deliveries.keys():
            self.judged[event_id] = replace(self.judged[event_id], sender=None, rule=None, thread_root=None)
        return len(settled)

    async def change(self, changes: Sequence[Change]) -> None:
        self._check()
        for change in changes:
            self._change(change)

    async def mutes(self) -> list[TimedMute]:
        self._check()
        return sorted(self.timed_mutes.values(), key=lambda each: each.until_ms)

    async def keep_mute(self, mute: TimedMute) -> None:
        self._check()
        self.timed_mutes[mute.room_id] = mute

    async def forget_mute(self, room_id: RoomId) -> None:
        self._check()
        self.timed_mutes.pop(room_id, None)

    async def prune(self, before_ms: int) -> None:
        self._check()
        for event_id, (_, judged_ms) in list(self.judged_at.items()):
            delivery = self.deliveries.get(event_id)
            is_alive = delivery is not None and (
                delivery.state is State.PENDING or (delivery.state is State.SHOWN and delivery.popup_key is not None)
            )
            if judged_ms < before_ms and not is_alive:
                del self.judged_at[event_id], self.judged[event_id]
                self.placed.pop(event_id, None)
                self.locked.pop(event_id, None)
                self.deliveries.pop(event_id, None)
        for (room_id, user_id), (_, seen_ms) in list(self.names.items()):
            facts = self.room_records[room_id].facts if room_id in self.room_records else RoomFacts(room_id)
            if seen_ms < before_ms and user_id not in facts.heroes and user_id != facts.inviter:
                del self.names[room_id, user_id]
        remembered = {each.room_id for each in self.judged.values()}
        for room_id, record in list(self.room_records.items()):
            if record.facts == RoomFacts(room_id) and room_id not in remembered:
                del self.room_records[room_id]

    async def close(self) -> None:
        pass

    def _open(self) -> list[Delivery]:
        found = [each for each in self.deliveries.values() if each.state in OPEN_STATES]
        return sorted(found, key=lambda each: each.position)

    def _forget_unlisted(self, judged: Sequence[Judged]) -> None:
        for each in judged:
            known = self.judged.get(each.event_id)
            is_late = known is not None and (known.decision, known.reason) == (Decision.SILENT, UNLISTED)
            if is_late and each.decision is Decision.RING and each.event_id not in self.deliveries:
                del self.judged[each.event_id]

    def _judge_again(self, judged: Sequence[Judged]) -> None:
        for each in judged:
            if each.decision is Decision.RING and each.event_id not in self.deliveries:
                self.judged.pop(each.event_id, None)
            elif (known := self.judged.get(each.event_id)) is not None:
                self.judged[each.event_id] = replace(
                    known, decision=each.decision, reason=each.reason, rule=each.rule, encryption=each.encryption
                )

    def _judge(self, judged: Sequence[Judged], now_ms: int) -> set[EventKey]:
        new = set()
        for each in judged:
            if each.event_id not in self.judged:
                self._position += 1
                self.judged[each.event_id] = each
                self.judged_at[each.event_id] = (self._position, now_ms)
                new.add(each.event_id)
        return new

    def _place(self, timeline: Sequence[EventKey]) -> None:
        known = [place for place, event_id in enumerate(timeline) if event_id in self.placed]
        for event_id in timeline[known[-1] + 1 if known else 0 :]:
            self._last_place += 1
            if event_id in self.judged:
                self.placed[event_id] = self._last_place

    def _change(self, change: Change) -> None:
        delivery = self.deliveries.get(change.event_id)
        if delivery is None or delivery.state not in OPEN_STATES:
            return
        self._changed_since_agenda.add(change.event_id)
        if delivery.popup_key is not None:
            self._changed_since_agenda.add(delivery.popup_key)
            self.popup_records[delivery.popup_key] = replace(self.popup_records[delivery.popup_key], is_stale=True)
        if isinstance(change, Withdrawal):
            self._settle(Settlement(change.event_id, Move.WITHDRAWN, why=change.why), None)
        elif isinstance(change, Rewrite):
            due_ms = delivery.due_ms if delivery.attempts else 0
            self.deliveries[change.event_id] = replace(delivery, content=change.content, due_ms=due_ms)
        elif delivery.content is not None:
            self.deliveries[change.event_id] = replace(delivery, content=_edited(delivery.content, change))

    def _settle(self, settlement: Settlement, shown_in: str | None) -> bool:
        delivery = self.deliveries.get(settlement.event_id)
        then = after(delivery.state, settlement.move) if delivery is not None else None
        if delivery is None or then is None:
            return False
        if settlement.move is Move.REPLACED and delivery.popup_key == shown_in:
            return True
        delivery = replace(delivery, state=then, why=settlement.why)
        match settlement.move:
            case Move.SHOWN | Move.REPLACED if shown_in is not None:
                delivery = replace(delivery, popup_key=shown_in)
            case Move.SERVER_RESTARTED | Move.DISMISSED | Move.GAVE_UP:
                delivery = replace(delivery, popup_key=None)
            case Move.FAILED:
                delivery = replace(delivery, attempts=delivery.attempts + 1, due_ms=settlement.due_ms)
        if then not in OPEN_STATES:
            delivery = replace(delivery, content=None, popup_key=None)
        self.deliveries[settlement.event_id] = delivery
        return True

    def _write_room(self, record: RoomRecord, now_ms: int) -> None:
        facts = record.facts
        self.room_records[facts.room_id] = replace(record, facts=replace(facts, names={}, avatars={}))
        if facts == RoomFacts(facts.room_id):
            self._forget_names(facts.room_id)
        for user_id, name in facts.names.items():
            self.names[facts.room_id, user_id] = (name, now_ms)
            self.avatars.pop((facts.room_id, user_id), None)
        self.avatars |= {(facts.room_id, user_id): avatar for user_id, avatar in facts.avatars.items()}

    def _forget_names(self, room_id: RoomId) -> None:
        for key in [key for key in self.names if key[0] == room_id]:
            del self.names[key]

    def _forget_popup(self, key: str) -> None:
        self.popup_records.pop(key, None)
        for delivery in self._open():
            if delivery.popup_key == key:
                self.deliveries[delivery.event_id] = replace(delivery, popup_key=None)


def _senders(shown: Sequence[Delivery]) -> tuple[str, ...]:
    names = (each.content.sender_name for each in shown if each.content is not None)
    return tuple(dict.fromkeys(names))[:10]


def _edited(content: Content, edit: Edit) -> Content:
    return replace(content, text=edit.text, markup=edit.markup)


def _rings_until(delivery: Delivery) -> int:
    return 0 if delivery.content is None else delivery.content.rings_until_ms


def _passes(delivery: Delivery, through: Through | None) -> bool:
    if through is None:
        return True
    content = delivery.content
    is_highlight = content is not None and content.is_highlight and through.highlights
    return is_highlight or bool(through.ids & {delivery.room_id, delivery.sender})
