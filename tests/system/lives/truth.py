"""What the homeserver knows of one user, as another device of that user reads it: nothing here is Heliograph's own.

Events in order, redactions, receipts, membership, push rules and ignored users come by an unfiltered /sync; what rings
by GET /notifications. What the homeserver cannot read is judged by Synapse's own evaluator over what was written.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heliograph.core.push.context import Context
from heliograph.demo.user import DemoUser
from support.synapse_evaluator import Refusal, SynapseRules
from system.lives.names import names_for

_FILTER = json.dumps(
    {"presence": {"types": []}, "room": {"timeline": {"limit": 500}, "include_leave": True, "state": {}}}
)
_NEWEST = "200"
"""Of the notifications; between two looks there are fewer."""
_RECEIPTS = ("m.read", "m.read.private")
Rules = Mapping[str, list[dict[str, Any]]]
"""The content of `m.push_rules`, by kind."""
RING = "org.matrix.msc4075.rtc.notification"
MEMBER = "org.matrix.msc3401.call.member"
DECLINE = "org.matrix.msc4310.rtc.decline"
CALLS = ("m.call.invite", RING)
"""Types of events that ring as calls."""
_RELATIONS = ("m.replace", "m.annotation", "m.reference")


@dataclass
class Event:
    """One event of a room that the user is or was in."""

    event_id: str
    room_id: str
    type: str
    sender: str
    place: int
    """In the order of the homeserver."""
    look: int
    """In which look it was first seen."""
    content: Mapping[str, Any]
    """In clear text."""
    is_encrypted: bool
    state_key: str | None
    redacts: str | None
    redacted_look: int | None = None
    listed: bool = False
    """GET /notifications had it."""
    is_highlight: bool = False
    by_clear_text: bool = False
    """It rings by what it says, which the homeserver cannot read."""
    ring_is_unknown: bool = False
    """Nobody can tell any more whether it was to ring (see `unknown`)."""
    highlight_is_unknown: bool = False
    is_silent_after_all: bool = False
    """It rang before its key came, and does not by what it says."""
    sent_ms: int = 0
    is_from_ignored: bool = False
    """When it came, its sender was ignored."""
    names: frozenset[str] = frozenset()
    """How its sender may be called: as when it came, or at any time since."""

    @property
    def relation(self) -> Mapping[str, Any]:
        relation = self.content.get("m.relates_to")
        return relation if isinstance(relation, dict) else {}

    @property
    def thread_root(self) -> str | None:
        return str(self.relation["event_id"]) if self.relation.get("rel_type") == "m.thread" else None

    @property
    def replaces(self) -> str | None:
        return str(self.relation["event_id"]) if self.relation.get("rel_type") == "m.replace" else None

    @property
    def is_relation(self) -> bool:
        return self.relation.get("rel_type") in _RELATIONS

    @property
    def rings(self) -> bool:
        return self.by_clear_text if self.is_encrypted else self.listed


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the user read, on whichever device."""

    room_id: str
    event_id: str
    kind: str
    thread_id: str | None
    look: int


@dataclass
class Room:
    """`stays` are the places of the user's joins; `ends` those of what ended them."""

    room_id: str
    events: dict[str, Event] = field(default_factory=dict)
    state: dict[tuple[str, str], Event] = field(default_factory=dict)
    stays: list[int] = field(default_factory=list)
    membership: str = "leave"
    changes: list[tuple[int, str]] = field(default_factory=list)
    """Of the user's membership: in which look, and to what."""
    invites: list[Event] = field(default_factory=list)
    """In order. They have no ids of the homeserver's."""
    former_names: dict[str, frozenset[str]] = field(default_factory=dict)
    """How each member could be called before the last look in which one was renamed."""
    renamed_look: int = -1

    def joined(self) -> int:
        """How many members there are."""
        return sum(
            1
            for (type_, _), event in self.state.items()
            if type_ == "m.room.member" and event.content.get("membership") == "join"
        )

    def names_of(self, user_id: str) -> frozenset[str]:
        """How this member may be called now."""
        members = {
            state_key: event.content.get("displayname")
            for (type_, state_key), event in self.state.items()
            if type_ == "m.room.member" and _is_join(event)
        }
        return names_for(user_id, members)

    def names_heard(self, user_id: str, look: int) -> frozenset[str]:
        """How a message of this member may name them. In direct mode, the list may tell of a message in the sync before
        the one that tells of a rename just before that message."""
        former = self.former_names if look <= self.renamed_look + 1 else {}
        return self.names_of(user_id) | former.get(user_id, frozenset())

    def note_rename(self, look: int) -> None:
        """To be called before the state has the new name."""
        members = {state_key for type_, state_key in self.state if type_ == "m.room.member"}
        if look != self.renamed_look:
            self.renamed_look, self.former_names = look, {}
        for member in members:
            self.former_names[member] = self.former_names.get(member, frozenset()) | self.names_of(member)

    def newest(self, *types: str) -> Event | None:
        return next((each for each in reversed(self.events.values()) if each.type in types), None)


class Truth:
    """`look` reads what is new. `clear` tells what an encrypted event says, by its id."""

    def __init__(self, device: DemoUser, clear: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
        self.me = device.user_id
        self.rooms: dict[str, Room] = {}
        self.receipts: list[Receipt] = []
        self.ignored: frozenset[str] = frozenset()
        self.ignoring: list[tuple[int, frozenset[str]]] = []
        """In which look who was ignored."""
        self.rules: Rules = {}
        self.ruling: list[tuple[int, Rules]] = []
        """In which look which push rules held."""
        self.looks = 0
        self.unread: dict[str, str] = {}
        """Of the newest notifications those that are unread messages by the homeserver's list: their rooms."""
        self._device = device
        self._clear = clear
        self._since: str | None = None
        self._places = itertools.count()
        self._redacted_early: set[str] = set()

    @property
    def events(self) -> Iterator[Event]:
        for room in self.rooms.values():
            yield from room.events.values()

    def find(self, event_id: str) -> Event | None:
        """By the homeserver's id, or an invite's in the ledger: then it is the room's latest invite."""
        for room in self.rooms.values():
            if event_id in room.events:
                return room.events[event_id]
            if room.invites and event_id.startswith(f"invite:{room.room_id}"):
                return room.invites[-1]
        return None

    def ignored_at(self, look: int) -> frozenset[str]:
        """Who was ignored by then."""
        return next((ignored for at, ignored in reversed(self.ignoring) if at <= look), frozenset())

    def rules_at(self, look: int) -> Rules:
        """The push rules by then."""
        return next((rules for at, rules in reversed(self.ruling) if at <= look), {})

    async def look(self) -> None:
        """All that came since the last look. Of two that come together the order is known, too."""
        self.looks += 1
        more = {} if self._since is None else {"since": self._since}
        told = await self._device.call("GET", "/sync", timeout="0", filter=_FILTER, **more)
        self._since = told["next_batch"]
        self._take_account_data(told.get("account_data", {}).get("events", []))
        rooms = told.get("rooms", {})
        new: list[Event] = []
        for room_id, entry in rooms.get("invite", {}).items():
            self._take_invite(self._room(room_id), entry)
        for membership in ("join", "leave"):
            for room_id, entry in rooms.get(membership, {}).items():
                new += self._take_room(self._room(room_id), entry, membership)
        await self._list()
        for event in new:
            if event.is_encrypted and event.sender != self.me:
                event.by_clear_text, event.is_highlight = self.judge(event, self.rules)

    def read_late(self, event_id: str) -> None:
        """The key of this event has come. What rang as unreadable may be silent now, and the other way round. What was
        said by somebody ignored the homeserver keeps back, and its key changes nothing."""
        event = self.find(event_id)
        if event is None:
            return
        event.type, event.content = self._clear[event_id]
        rings, event.is_highlight = self.judge(event, self.rules)
        event.is_silent_after_all = event.by_clear_text and not rings
        event.by_clear_text |= rings

    def _take_invite(self, room: Room, entry: dict[str, Any]) -> None:
        senders = [
            each["sender"]
            for each in entry["invite_state"]["events"]
            if each["type"] == "m.room.member" and each["state_key"] == self.me
        ]
        if room.membership != "invite":
            room.invites.append(self._invite(room, senders[0] if senders else ""))
        self._change(room, "invite")

    def _invite(self, room: Room, sender: str) -> Event:
        return Event(
            event_id=f"invite:{room.room_id}",
            room_id=room.room_id,
            type="m.room.member",
            sender=sender,
            place=next(self._places),
            look=self.looks,
            content={"membership": "invite"},
            is_encrypted=False,
            state_key=self.me,
            redacts=None,
        )

    def _room(self, room_id: str) -> Room:
        return self.rooms.setdefault(room_id, Room(room_id))

    def _change(self, room: Room, membership: str) -> None:
        if room.membership != membership:
            room.membership = membership
            room.changes.append((self.looks, membership))

    def _take_account_data(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            match event["type"]:
                case "m.ignored_user_list":
                    self.ignored = frozenset(event["content"].get("ignored_users", {}))
                    self.ignoring.append((self.looks, self.ignored))
                case "m.push_rules":
                    self.rules = event["content"]["global"]
                    self.ruling.append((self.looks, self.rules))

    def _take_room(self, room: Room, entry: dict[str, Any], membership: str) -> list[Event]:
        new = []
        state = entry.get("state", {}).get("events", [])
        for raw in state:
            self._take_state(room, self._read(room, raw))
        for raw in entry.get("timeline", {}).get("events", []):
            if raw["event_id"] in room.events:
                continue
            event = self._read(room, raw)
            event.names = room.names_heard(event.sender, self.looks)
            room.events[event.event_id] = event
            new.append(event)
            if event.state_key is not None:
                self._take_state(room, event)
            if event.redacts is not None:
                self._redact(room, event.redacts)
            if event.event_id in self._redacted_early:
                event.redacted_look = self.looks
        for raw in entry.get("ephemeral", {}).get("events", []):
            if raw["type"] == "m.receipt":
                self._take_receipts(room, raw["content"])
        self._change(room, membership)
        if any(each.type == "m.room.member" for each in new):
            for event in room.events.values():
                event.names |= room.names_of(event.sender)
        return new

    def _redact(self, room: Room, event_id: str) -> None:
        if event_id in room.events:
            room.events[event_id].redacted_look = self.looks
        else:
            self._redacted_early.add(event_id)

    def _read(self, room: Room, raw: dict[str, Any]) -> Event:
        is_encrypted = raw["type"] == "m.room.encrypted"
        type_, content = self._clear.get(raw["event_id"], (raw["type"], raw["content"]))
        event = Event(
            event_id=raw["event_id"],
            room_id=room.room_id,
            type=type_,
            sender=raw["sender"],
            place=next(self._places),
            look=self.looks,
            content=content,
            is_encrypted=is_encrypted,
            state_key=raw.get("state_key"),
            sent_ms=raw["origin_server_ts"],
            redacts=raw.get("redacts") or (content.get("redacts") if raw["type"] == "m.room.redaction" else None),
            is_from_ignored=raw["sender"] in self.ignored,
        )
        if "redacted_because" in raw.get("unsigned", {}):
            event.redacted_look = self.looks
        return event

    def _take_state(self, room: Room, event: Event) -> None:
        assert event.state_key is not None
        before = room.state.get((event.type, event.state_key))
        if before is not None and event.type == "m.room.member":
            room.note_rename(self.looks)
        room.state[event.type, event.state_key] = event
        if event.type != "m.room.member" or event.state_key != self.me or not _is_join(event):
            return
        if before is None or not _is_join(before):
            room.stays.append(event.place)

    def _take_receipts(self, room: Room, content: Mapping[str, Any]) -> None:
        for event_id, kinds in content.items():
            for kind in _RECEIPTS:
                if self.me in kinds.get(kind, {}):
                    thread = kinds[kind][self.me].get("thread_id")
                    receipt = Receipt(room.room_id, event_id, kind, thread, self.looks)
                    self.receipts.append(receipt)

    async def _list(self) -> None:
        told = await self._device.call("GET", "/notifications", limit=_NEWEST)
        self.unread = {}
        for each in told["notifications"]:
            raw, room = each["event"], self._room(each["room_id"])
            if not each["read"] and "state_key" not in raw:
                self.unread[raw["event_id"]] = room.room_id
            if (event := room.events.get(raw["event_id"])) is not None:
                event.listed = True
                if not event.is_encrypted:
                    event.is_highlight = _highlights(each["actions"])

    def judge(self, event: Event, rules: Rules) -> tuple[bool, bool]:
        """Whether it rings and highlights by these rules in its room as that is now."""
        room = self.rooms[event.room_id]
        member = room.state.get(("m.room.member", self.me))
        levels = room.state.get(("m.room.power_levels", ""))
        create = room.state.get(("m.room.create", ""))
        context = Context(
            user_id=self.me,
            display_name=None if member is None else member.content.get("displayname"),
            member_count=room.joined(),
            power_levels=None if levels is None else levels.content,
            creators=frozenset() if create is None else frozenset({create.sender}),
            room_version=None if create is None else str(create.content.get("room_version", "1")),
        )
        raw = {
            "type": event.type,
            "room_id": event.room_id,
            "sender": event.sender,
            "content": dict(event.content),
            "event_id": event.event_id,
        } | ({} if event.state_key is None else {"state_key": event.state_key})
        rule = _rule_of(rules, raw, context)
        actions = () if rule is None else rule["actions"]
        return "notify" in actions, _highlights(actions)


def _is_join(event: Event) -> bool:
    return event.content.get("membership") == "join"


def _highlights(actions: Sequence[Any]) -> bool:
    tweaks = [action for action in actions if isinstance(action, dict) and action.get("set_tweak") == "highlight"]
    return any(tweak.get("value", True) is not False for tweak in tweaks)


def _rule_of(rules: Rules, event: Mapping[str, Any], context: Context) -> Mapping[str, Any] | None:
    """The rule that Synapse finds, with its actions as the user has them."""
    own = {kind: [rule for rule in listed if not rule.get("default")] for kind, listed in rules.items()}
    try:
        name = SynapseRules(own).rule_of(event, context)
    except Refusal:
        return None
    if name is None:
        return None
    kind, _, rule_id = name.partition("/")
    return next((rule for rule in rules[kind] if rule["rule_id"] == rule_id), None)
