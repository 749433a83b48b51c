"""A homeserver in memory, for one user's device: what others do there, and what /sync then tells.

It passes the same contract as the real one (tests/contract/test_homeserver.py), and refuses what that refuses
(tests/contract/test_refusals.py): filters are written as the product writes them and checked by Synapse's own code.
`failures` are raised by the next calls in order, `answers` are given by the next syncs instead of what really happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fakes.stream_token import read_place
from fakes.synapse_checks import check_filter, check_pusher
from heliograph.core.events import (
    AccountData,
    Event,
    InvitedRoom,
    JoinedRoom,
    Json,
    Malformed,
    Receipt,
    RoomSummary,
    ServerNotification,
    StrippedState,
    Sync,
)
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.reading import MAIN
from heliograph.core.room import RoomFacts
from heliograph.errors import Dropped, LoggedOut, Refused, ServerError, Unreachable
from heliograph.homeserver.sync_filter import STATE_TYPES, messages_filter, sync_query, write_filter
from heliograph.ports.homeserver import EventContext, Features, Member, MessagesPage, NotificationsPage, SyncRequest

FORBIDDEN = Refused(403, "M_FORBIDDEN", "not in this room")
NO_EVENT = Refused(404, "M_NOT_FOUND", "no such event")
_OUTSIDE = (None, "invite")
"""Memberships of who may not look into a room. Who left may, as far as they were in it."""
_STRIPPED = {"m.room.create", "m.room.name", "m.room.avatar", "m.room.canonical_alias", "m.room.encryption"}


@dataclass
class FakeRoom:
    """Events in order, each with its place in the stream."""

    room_id: RoomId
    events: list[tuple[int, Event]] = field(default_factory=list)
    receipts: list[tuple[int, str, Receipt]] = field(default_factory=list)

    @property
    def state(self) -> dict[tuple[str, str], Event]:
        return {(event.type, event.state_key): event for _, event in self.events if event.state_key is not None}

    def membership(self, user_id: str) -> str | None:
        event = self.state.get(("m.room.member", user_id))
        return None if event is None else event.content.get("membership")

    def members(self, membership: str = "join") -> list[UserId]:
        users = (UserId(key) for type_, key in self.state if type_ == "m.room.member")
        return [user_id for user_id in users if self.membership(user_id) == membership]

    def changed_at(self, user_id: str) -> int:
        """Where the user's membership changed last."""
        places = (at for at, e in self.events if e.type == "m.room.member" and e.state_key == user_id)
        return max(places, default=0)

    def read_up_to(self, user_id: str, thread: str | None = None) -> int:
        """Where the last receipt stands; with a thread, the last that counts for it."""
        receipts = (receipt for _, reader, receipt in self.receipts if reader == user_id)
        read = {each.event_id for each in receipts if thread is None or each.thread_id in (None, thread)}
        return max((at for at, event in self.events if event.event_id in read), default=0)


class FakeHomeserver:
    """ports.Homeserver, for `user_id`'s device; `user` gives others (and other devices) to act with."""

    def __init__(self, user_id: str = "@me:example.org", device_id: str = "DEVICE") -> None:
        self.user_id = UserId(user_id)
        self.device_id = device_id
        self.told = Features(versions=("v1.11",), software="Fake")
        self.failures: deque[ServerError] = deque()
        self.answers: deque[Sync] = deque()
        self.signed_out: LoggedOut | None = None
        """If set, what every call raises."""
        self.requests: list[SyncRequest] = []
        self.fact_requests: list[tuple[RoomId, ...]] = []
        self.subscribed: set[EventId] = set()
        """Roots of the threads that the user follows (MSC4306)."""
        self.subscription_requests: list[EventId] = []
        self.rooms: dict[RoomId, FakeRoom] = {}
        self.is_closed = False
        self._now = 1
        self._serial = itertools.count(1)
        self._names: dict[str, str] = {}
        self._account_data: list[tuple[int, str, dict[str, Any]]] = [(1, "m.push_rules", {"global": {}})]
        self._to_device: list[tuple[int, bytes]] = []
        self._pushers: dict[tuple[str, str], Pusher] = {}
        self._news = asyncio.Event()
        self._drops = 0

    def user(self, user_id: str) -> FakeUser:
        """Someone who acts on this homeserver."""
        self._names.setdefault(user_id, user_id[1:].partition(":")[0])
        return FakeUser(self, UserId(user_id))

    # The port

    async def features(self) -> Features:
        await self._call()
        return self.told

    async def whoami(self) -> None:
        await self._call()

    async def sync(self, request: SyncRequest) -> Sync:
        self.requests.append(request)
        await self._call()
        check_filter(sync_query(request, self.device_id)["filter"])
        if self.answers:
            return self.answers.popleft()
        since = 0 if request.since is None else self._place(request.since)
        self._to_device = [(at, event) for at, event in self._to_device if at > since]
        drops = self._drops
        if request.since is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(request.timeout_ms / 1000):
                    while not self._has_news(request, since) and drops == self._drops:
                        self._news.clear()
                        await self._news.wait()
        if drops != self._drops:
            raise Dropped
        return self._first() if request.since is None else self._answer(request, since)

    async def push_rules(self) -> Json:
        await self._call()
        return [content for _, type_, content in self._account_data if type_ == "m.push_rules"][-1]

    async def room_facts(self, room_ids: Collection[RoomId]) -> dict[RoomId, RoomFacts]:
        self.fact_requests.append(tuple(room_ids))
        await self._call()
        joined = (self.rooms[room_id] for room_id in room_ids if self._membership(room_id) == "join")
        return {room.room_id: self._facts(room) for room in joined}

    async def open_invites(self, room_ids: Collection[RoomId]) -> frozenset[RoomId]:
        await self._call()
        return frozenset(room_id for room_id in room_ids if self._membership(room_id) == "invite")

    async def member(self, room_id: RoomId, user_id: UserId) -> Member:
        await self._call()
        if self._membership(room_id) in _OUTSIDE:
            return Member()
        event = self.rooms[room_id].state.get(("m.room.member", user_id))
        content = {} if event is None else event.content
        return Member(content.get("displayname"), content.get("avatar_url"))

    async def joined_members(self, room_id: RoomId) -> Mapping[UserId, Member] | None:
        await self._call()
        if self._membership(room_id) != "join":
            raise FORBIDDEN
        state = self.rooms[room_id].state
        contents = {user: state["m.room.member", user].content for user in self.rooms[room_id].members()}
        return {user: Member(each.get("displayname"), each.get("avatar_url")) for user, each in contents.items()}

    async def notifications(self, *, since: str | None, limit: int) -> NotificationsPage:
        await self._call()
        before = self._now + 1 if since is None else self._place(since, "n")
        newest = sorted(self._notifications(), key=lambda item: item[0], reverse=True)
        page = [(at, item) for at, item in newest if at < before][:limit]
        return NotificationsPage(tuple(item for _, item in page), f"n{page[-1][0]}" if page else None)

    async def messages(
        self,
        room_id: RoomId,
        *,
        since: str,
        until: str | None,
        limit: int,
        event_types: frozenset[str] | None = None,
    ) -> MessagesPage:
        await self._call()
        check_filter(write_filter(messages_filter(event_types)))
        newest, oldest = self._place(since), 0 if until is None else self._place(until)
        if self._membership(room_id) in _OUTSIDE:
            raise FORBIDDEN
        events = [(at, e) for at, e in reversed(self.rooms[room_id].events) if oldest < at <= newest]
        page = [(at, e) for at, e in events if _passes(e, event_types)][:limit]
        is_all = len(page) < limit
        return MessagesPage(tuple(event for _, event in page), None if is_all else f"s{page[-1][0] - 1}")

    async def event(self, room_id: RoomId, event_id: EventId) -> Event | Malformed:
        await self._call()
        known = self.rooms[room_id].events if self._membership(room_id) == "join" else []
        found = next((event for _, event in known if event.event_id == event_id), None)
        if found is None:
            raise NO_EVENT
        return found

    async def context(
        self, room_id: RoomId, event_id: EventId, *, limit: int, event_types: frozenset[str] | None = None
    ) -> EventContext:
        await self._call()
        check_filter(write_filter(messages_filter(event_types)))
        if self._membership(room_id) in _OUTSIDE:
            raise FORBIDDEN
        events = self.rooms[room_id].events
        at = next((at for at, event in events if event.event_id == event_id), None)
        if at is None:
            elsewhere = (event.event_id for room in self.rooms.values() for _, event in room.events)
            raise Refused(404, "M_UNKNOWN", "no event of this room") if event_id in elsewhere else NO_EVENT
        passing = [(place, e) for place, e in events if place == at or _passes(e, event_types)]
        index = [place for place, _ in passing].index(at)
        first = max(0, index - limit // 2)
        around = passing[first : index + limit - limit // 2 + 1]
        return EventContext(tuple(event for _, event in around), f"s{around[0][0] - 1}")

    async def is_subscribed(self, room_id: RoomId, root: EventId) -> bool:
        await self._call()
        self.subscription_requests.append(root)
        if self._membership(room_id) != "join":
            raise FORBIDDEN
        return root in self.subscribed

    async def pushers(self) -> tuple[Pusher, ...]:
        await self._call()
        return tuple(self._pushers.values())

    async def set_pusher(self, pusher: Pusher) -> None:
        await self._call()
        check_pusher(pusher.kind, pusher.data)
        self._pushers[pusher.app_id, pusher.pushkey] = replace(pusher, device_id=self.device_id)

    async def remove_pusher(self, app_id: str, pushkey: str) -> None:
        await self._call()
        self._pushers.pop((app_id, pushkey), None)

    async def drop_connections(self) -> None:
        self._drops += 1
        self._news.set()

    async def close(self) -> None:
        self.is_closed = True
        await self.drop_connections()

    # What the user does (`fakes.room_actions`)

    async def read(self, room_id: RoomId, event_id: EventId, *, is_public: bool) -> None:
        """Receipt and read marker."""
        room = self.rooms.get(room_id)
        if room is None or event_id not in (event.event_id for _, event in room.events):
            raise Refused(404, "M_UNKNOWN", "could not find the event in the room")
        await self.user(self.user_id).read(room_id, event_id, "m.read" if is_public else "m.read.private")

    async def join(self, room_id: RoomId) -> None:
        if room_id not in self.rooms:
            raise Refused(404, "M_UNKNOWN", "no server that is in the room is known")
        if self._membership(room_id) not in ("invite", "join"):
            raise Refused(403, "M_FORBIDDEN", "you are not invited to this room")
        await self.user(self.user_id).join(room_id)

    async def leave(self, room_id: RoomId) -> None:
        """What was left already, or never joined, is no room of the user's afterwards, either."""
        if self._membership(room_id) in ("invite", "join"):
            await self.user(self.user_id).leave(room_id)

    # What others do

    def add(
        self,
        room_id: str,
        sender: str,
        type_: str,
        content: dict[str, Any],
        state_key: str | None = None,
        **raw: Any,
    ) -> EventId:
        """An event at the end of the room; returns its id."""
        self._now += 1
        event_id, room = EventId(f"$fake{self._now}"), RoomId(room_id)
        ts = 1_700_000_000_000 + self._now
        json_: dict[str, Any] = {
            "event_id": event_id,
            "room_id": room_id,
            "type": type_,
            "sender": sender,
            "origin_server_ts": ts,
            "content": content,
            **raw,
        }
        if state_key is not None:
            json_["state_key"] = state_key
        event = Event(event_id, room, type_, UserId(sender), ts, content, json_, state_key)
        self.rooms.setdefault(room, FakeRoom(room)).events.append((self._now, event))
        self._news.set()
        return event_id

    def add_receipt(self, room_id: str, user_id: str, receipt: Receipt) -> None:
        self._now += 1
        self.rooms[RoomId(room_id)].receipts.append((self._now, user_id, receipt))
        self._news.set()

    def add_account_data(self, type_: str, content: dict[str, Any]) -> None:
        self._now += 1
        self._account_data.append((self._now, type_, content))
        self._news.set()

    def send_to_device(self, sender: str, type_: str, content: dict[str, Any]) -> None:
        self._now += 1
        event = {"type": type_, "sender": sender, "content": content}
        self._to_device.append((self._now, json.dumps(event).encode()))
        self._news.set()

    def membership_event(self, room_id: str, sender: str, user_id: str, membership: str) -> None:
        content = {"membership": membership, "displayname": self._names.get(user_id)}
        self.add(room_id, sender, "m.room.member", content, user_id)

    def set_name(self, user_id: str, name: str) -> None:
        self._names[user_id] = name

    def new_room_id(self) -> RoomId:
        return RoomId(f"!room{next(self._serial)}:example.org")

    # What /sync tells

    async def _call(self) -> None:
        await asyncio.sleep(0)
        if self.is_closed:
            raise Unreachable("closed")
        if self.signed_out is not None:
            raise LoggedOut(soft=self.signed_out.soft)
        if self.failures:
            raise self.failures.popleft()

    async def sign_out(self, *, soft: bool = False) -> None:
        """The access token is no longer good. A poll under way ends, and the next is refused."""
        self.signed_out = LoggedOut(soft=soft)
        await self.drop_connections()

    def _place(self, token: str, prefix: str = "s") -> int:
        """Places in the list of notifications are none in the stream."""
        if (place := read_place(token, prefix)) is None:
            raise Refused(400, "M_UNKNOWN", "not a token of ours")
        return place

    def _membership(self, room_id: str) -> str | None:
        room = self.rooms.get(RoomId(room_id))
        return None if room is None else room.membership(self.user_id)

    def _first(self) -> Sync:
        """No rooms, and no invites either: Synapse looks at neither when asked for no rooms."""
        to_device = tuple(event for _, event in self._to_device)
        return Sync(f"s{self._now}", account_data=self._account_data_since(0), to_device=to_device)

    def _answer(self, request: SyncRequest, since: int) -> Sync:
        joined = (self._joined(room, request, since) for room in self.rooms.values())
        changed = ((room, room.membership(self.user_id)) for room in self.rooms.values())
        return Sync(
            next_batch=f"s{self._now}",
            joined=tuple(room for room in joined if room is not None),
            invited=self._invited(since),
            left=tuple(
                room.room_id
                for room, membership in changed
                if membership in ("leave", "ban") and room.changed_at(self.user_id) > since
            ),
            account_data=self._account_data_since(since),
            to_device=tuple(event for _, event in self._to_device),
        )

    def _has_news(self, request: SyncRequest, since: int) -> bool:
        return replace(self._answer(request, since), next_batch="") != Sync(next_batch="")

    def _joined(self, room: FakeRoom, request: SyncRequest, since: int) -> JoinedRoom | None:
        if room.membership(self.user_id) != "join":
            return None
        new = [event for at, event in room.events if at > since]
        events = [event for event in new if _passes(event, request.event_types)]
        wants_receipts = request.receipts_in is None or room.room_id in request.receipts_in
        own = [r for at, user, r in room.receipts if at > since and user == self.user_id and wants_receipts]
        if not events and not own:
            return None
        shown = events[-request.timeline_limit :]
        is_limited = len(events) > len(shown)
        first = min((at for at, event in room.events if event in shown), default=self._now + 1)
        states = {(e.type, e.state_key): e for e in new if e.state_key is not None and e.type in STATE_TYPES}
        senders = {event.sender for event in shown}
        named = [room.state["m.room.member", sender] for sender in sorted(senders) if room.membership(sender)]
        in_gap = [event for event in states.values() if event not in shown] if is_limited else []
        counts = self._unread(room)
        return JoinedRoom(
            room_id=room.room_id,
            timeline=tuple(shown),
            limited=is_limited,
            prev_batch=f"s{first - 1}",
            state=tuple({e.event_id: e for e in [*in_gap, *named] if e not in shown}.values()),
            receipts=tuple(own),
            notification_count=counts.pop(MAIN, 0),
            thread_counts=counts,
            summary=self._summary(room) if any(e.type == "m.room.member" for e in new) else RoomSummary(),
        )

    def _unread(self, room: FakeRoom) -> dict[str, int]:
        """How many notifications are unread, by thread. Threads without any are left out, as Synapse does."""
        unread: dict[str, int] = {}
        for at, item in self._notifications():
            thread = item.event.thread_root or MAIN
            if item.event.room_id == room.room_id and at > room.read_up_to(self.user_id, thread):
                unread[thread] = unread.get(thread, 0) + 1
        return unread

    def _invited(self, since: int) -> tuple[InvitedRoom, ...]:
        invited = []
        for room in self.rooms.values():
            if room.membership(self.user_id) != "invite" or room.changed_at(self.user_id) <= since:
                continue
            own = room.state["m.room.member", self.user_id]
            told = [e for (type_, _), e in room.state.items() if type_ in _STRIPPED]
            inviter = room.state.get(("m.room.member", own.sender))
            invited.append(
                InvitedRoom(room.room_id, tuple(_stripped(e) for e in [*told, own, inviter] if e is not None))
            )
        return tuple(invited)

    def _account_data_since(self, since: int) -> AccountData:
        data = AccountData()
        for at, type_, content in self._account_data:
            if at <= since:
                continue
            if type_ == "m.push_rules":
                data = replace(data, push_rules=content)
            elif type_ == "m.direct":
                data = replace(data, direct_rooms=frozenset(r for rooms in content.values() for r in rooms))
            elif type_ == "m.ignored_user_list":
                data = replace(data, ignored_users=frozenset(content.get("ignored_users", {})))
            elif type_ in ("m.media_preview_config", "io.element.msc4278.media_preview_config"):
                data = replace(data, shows_invite_avatars=content.get("invite_avatars") != "off")
            elif type_ == f"org.matrix.msc3890.local_notification_settings.{self.device_id}":
                data = replace(data, is_silenced=content.get("is_silenced") is True)
        return data

    def _summary(self, room: FakeRoom) -> RoomSummary:
        state = room.state
        is_named = ("m.room.name", "") in state or ("m.room.canonical_alias", "") in state
        others = sorted(user for user in room.members() if user != self.user_id)[:5]
        heroes = None if is_named else tuple(others)
        return RoomSummary(len(room.members()), len(room.members("invite")), heroes)

    def _facts(self, room: FakeRoom) -> RoomFacts:
        facts = RoomFacts(room.room_id, power_levels={})
        summary = self._summary(room)
        for (type_, key), event in room.state.items():
            if type_ != "m.room.member" or key == self.user_id or key in (summary.heroes or ()):
                facts = facts.after(event, self.user_id)
        return replace(facts.after_summary(summary), is_complete=True, inviter=None)

    def _notifications(self) -> list[tuple[int, ServerNotification]]:
        """Messages of others, as the default rules would have it."""
        found = []
        for room in self.rooms.values():
            if room.membership(self.user_id) != "join":
                continue
            joined_at, read = room.changed_at(self.user_id), room.read_up_to(self.user_id)
            for at, event in room.events:
                if event.type == "m.room.message" and event.sender != self.user_id and at > joined_at:
                    item = ServerNotification(event, ("notify",), event.origin_server_ts, at <= read)
                    found.append((at, item))
        return found


@dataclass(frozen=True, slots=True)
class FakeUser:
    """The same verbs as heliograph.demo.user.DemoUser."""

    homeserver: FakeHomeserver
    user_id: UserId

    async def create_room(self, name: str | None = None, invite: Sequence[FakeUser] = (), **options: Any) -> RoomId:
        server, room_id = self.homeserver, self.homeserver.new_room_id()
        server.add(room_id, self.user_id, "m.room.create", {"room_version": "11"}, "")
        server.membership_event(room_id, self.user_id, self.user_id, "join")
        levels = {"users": {self.user_id: 100}, **options.get("power_level_content_override", {})}
        server.add(room_id, self.user_id, "m.room.power_levels", levels, "")
        for state in options.get("initial_state", ()):
            server.add(room_id, self.user_id, state["type"], state["content"], state.get("state_key", ""))
        if name is not None:
            await self.rename(room_id, name)
        for user in invite:
            await self.invite(room_id, user)
        return room_id

    async def invite(self, room: str, user: FakeUser) -> None:
        self.homeserver.membership_event(room, self.user_id, user.user_id, "invite")

    async def join(self, room: str) -> None:
        self.homeserver.membership_event(room, self.user_id, self.user_id, "join")

    async def leave(self, room: str) -> None:
        self.homeserver.membership_event(room, self.user_id, self.user_id, "leave")

    async def kick(self, room: str, user: FakeUser) -> None:
        self.homeserver.membership_event(room, self.user_id, user.user_id, "leave")

    async def rename(self, room: str, name: str) -> None:
        await self.send_state(room, "m.room.name", {"name": name})

    async def send_state(self, room: str, type: str, content: dict[str, Any], state_key: str = "") -> EventId:
        return self.homeserver.add(room, self.user_id, type, content, state_key)

    async def send_event(self, room: str, type: str, content: dict[str, Any]) -> EventId:
        return self.homeserver.add(room, self.user_id, type, content)

    async def send_text(self, room: str, body: str, *, thread: str | None = None) -> EventId:
        content: dict[str, Any] = {"msgtype": "m.text", "body": body}
        if thread is not None:
            content["m.relates_to"] = {"rel_type": "m.thread", "event_id": thread}
        return await self.send_event(room, "m.room.message", content)

    async def react(self, room: str, event: str, key: str = "👍") -> EventId:
        relation = {"rel_type": "m.annotation", "event_id": event, "key": key}
        return await self.send_event(room, "m.reaction", {"m.relates_to": relation})

    async def redact(self, room: str, event: str) -> EventId:
        content = {"redacts": event}
        return self.homeserver.add(room, self.user_id, "m.room.redaction", content, redacts=event)

    async def read(
        self,
        room: str,
        event: str,
        kind: Literal["m.read", "m.read.private"] = "m.read",
        thread_id: str | None = None,
    ) -> None:
        self.homeserver.add_receipt(room, self.user_id, Receipt(RoomId(room), EventId(event), thread_id))

    async def set_display_name(self, name: str) -> None:
        self.homeserver.set_name(self.user_id, name)

    async def set_account_data(self, type: str, content: dict[str, Any]) -> None:
        self.homeserver.add_account_data(type, content)


def _passes(event: Event, event_types: frozenset[str] | None) -> bool:
    return event_types is None or event.type in event_types.union(STATE_TYPES)


def _stripped(event: Event) -> StrippedState:
    kept = {key: event.raw[key] for key in ("type", "state_key", "sender", "content", "room_id")}
    return StrippedState(event.type, event.state_key or "", event.sender, event.content, kept)
