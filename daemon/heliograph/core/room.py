"""The facts of a room: enough to judge its events and to name it, never the whole list of its members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType
from typing import Any

from heliograph.core.events import Event, Json, RoomSummary, StrippedState
from heliograph.core.ids import RoomId, UserId, is_room_id, is_user_id
from heliograph.core.mxc import clean_mxc
from heliograph.core.push.context import Context
from heliograph.core.text.clean import count_things
from heliograph.core.text.lookalikes import shows_something
from heliograph.core.text.names import can_name, name_key, word_member
from heliograph.core.value_type import value_type

SERVICE_MEMBER_TYPES = ("io.element.functional_members", "m.member_hints")
"""The state that lists `service_members` (MSC4171), by its unstable and its stable name."""
MOST_COMPARED = 200
"""Names of a room that are remembered as compared. After more the oldest is compared anew when it is needed."""
_MOST_HOLDERS = 5
_MOST_SERVICE_MEMBERS = 20
_TWO = 2

FACT_TYPES = (
    *SERVICE_MEMBER_TYPES,
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.create",
    "m.room.encryption",
    "m.room.member",
    "m.room.name",
    "m.room.power_levels",
    "m.room.tombstone",
)
"""The types of state event from which facts are made, in alphabetical order."""


@value_type
class RoomFacts:
    """Facts of one room. None means unknown: a push rule that needs the fact does not match then."""

    room_id: RoomId
    is_complete: bool = False
    """True if the facts were asked for once. State events have kept them current since."""
    name: str | None = None
    canonical_alias: str | None = None
    avatar_url: str | None = None
    is_encrypted: bool = False
    room_version: str | None = None
    is_space: bool = False
    creators: frozenset[str] = frozenset()
    power_levels: Json | None = None
    """The content of `m.room.power_levels`."""
    joined_member_count: int | None = None
    invited_member_count: int | None = None
    heroes: tuple[UserId, ...] = ()
    service_members: frozenset[str] = frozenset()
    """Bots that others do not count as people of the room (MSC4171), whether they are in it or not."""
    own_display_name: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    """Display names by user id, of the members whose names were needed so far; "": the member has none."""
    avatars: Mapping[str, str] = field(default_factory=dict)
    """The mxc: URIs of these members' pictures by user id, of those who have one."""
    inviter: UserId | None = None
    stranger: UserId | None = None
    """Who invited the user into this room, until the user has written there."""
    tombstone: str | None = None
    """The id of the event that says the room was moved."""
    successor: RoomId | None = None
    """The room to which it was moved."""
    holders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By `names.name_key`: the members who go by a name that looks so, of the names that were compared with those of
    all members."""

    def after(self, event: Event | StrippedState, me: str) -> RoomFacts:
        """The facts after this event: after state, and after the first words of the user's own."""
        if event.state_key is None:
            is_answer = self.stranger is not None and event.sender == me
            return replace(self, stranger=None) if is_answer else self
        # State of these types counts only under an empty key; members have their user ids for keys.
        content = event.content
        if event.type == "m.room.member":
            return self._after_member(event, event.state_key, me)
        if event.state_key != "":
            return self
        match event.type:
            case "m.room.name":
                return replace(self, name=_text(content.get("name")))
            case "m.room.canonical_alias":
                return replace(self, canonical_alias=_text(content.get("alias")))
            case "m.room.avatar":
                return replace(self, avatar_url=clean_mxc(content.get("url")))
            # Whatever the content says: a room that is encrypted once
            # stays so, and trusting a later event would downgrade it.
            case "m.room.encryption":
                return replace(self, is_encrypted=True)
            case "m.room.power_levels":
                return replace(self, power_levels=content)
            case "m.room.create":
                return self._after_create(event.sender, content)
            case "m.room.tombstone":
                successor = content.get("replacement_room")
                tombstone = event.event_id if isinstance(event, Event) else None
                return replace(self, tombstone=tombstone, successor=successor if is_room_id(successor) else None)
        if event.type in SERVICE_MEMBER_TYPES:
            return replace(self, service_members=_service_members(content))
        return self

    def _after_member(self, event: Event | StrippedState, user_id: str, me: str) -> RoomFacts:
        content = event.content
        membership = content.get("membership")
        has_left = membership in ("leave", "ban")
        name = None if has_left else _text(content.get("displayname"))
        facts = self.with_name(user_id, name, clean_mxc(content.get("avatar_url")))
        if user_id != me:
            return facts
        facts = replace(facts, own_display_name=name)
        if membership == "invite":
            facts = replace(facts, inviter=event.sender if is_user_id(event.sender) else None)
        elif (inviter := _accepted_inviter(event)) is not None:
            facts = replace(facts, stranger=inviter)
        return facts

    def with_name(self, user_id: str, name: str | None, avatar: str | None = None) -> RoomFacts:
        """The facts with this member's display name and picture; None: the member has none."""
        avatars = {**self.avatars, user_id: avatar} if avatar else dict(self.avatars)
        if not avatar:
            avatars.pop(user_id, None)
        # Read-only copies: these facts are a value, and the planner still compares with the earlier one.
        names = MappingProxyType({**self.names, user_id: name or ""})
        return replace(self, names=names, avatars=MappingProxyType(avatars), holders=self._holders_after(user_id, name))

    def _holders_after(self, user_id: str, name: str | None) -> Mapping[str, tuple[str, ...]]:
        """Without the names that this member's new name makes worth another look: the new one, unless it was compared,
        and the one that the member had."""
        if not self.holders:
            return self.holders
        key = name_key(name) if name else ""
        return MappingProxyType(
            {each: held for each, held in self.holders.items() if (each == key) == (user_id in held)}
        )

    def with_compared(self, names: Mapping[str, str], compared: Collection[str]) -> RoomFacts:
        """The facts after the names of the `compared` members were compared with `names`: all members' display names by
        user id."""
        wanted = {name_key(self.names[user_id]): [user_id] for user_id in compared if self.names.get(user_id)}
        for user_id, name in names.items():
            held = wanted.get(name_key(name))
            if held is not None and user_id not in held and len(held) < _MOST_HOLDERS:
                held.append(user_id)
        latest = {**self.holders, **{key: tuple(held) for key, held in wanted.items()}}
        return replace(self, holders=MappingProxyType(dict(list(latest.items())[-MOST_COMPARED:])))

    def _after_create(self, sender: str, content: Json) -> RoomFacts:
        version = _text(content.get("room_version")) or "1"
        # Since room version 12 the sender of m.room.create is the creator, and may name others (MSC4289).
        creators = {sender}
        additional = content.get("additional_creators")
        if isinstance(additional, list):
            creators.update(user for user in additional if isinstance(user, str))
        is_space = content.get("type") == "m.space"
        return replace(self, room_version=version, creators=frozenset(creators), is_space=is_space)

    def after_summary(self, summary: RoomSummary) -> RoomFacts:
        """The facts with the `summary` of a /sync. What the server left out of that stays."""
        facts = self
        if summary.joined_member_count is not None:
            facts = replace(facts, joined_member_count=summary.joined_member_count)
        if summary.invited_member_count is not None:
            facts = replace(facts, invited_member_count=summary.invited_member_count)
        if summary.heroes is not None:
            facts = replace(facts, heroes=summary.heroes)
        return facts

    def name_of(self, user_id: str) -> str:
        """How the member is called where they wrote: by their display name in this room, with the user id beside it
        unless nobody else in the room has a name that looks the same; without a name, by the user id alone.

        Source: Client-Server API, "Calculating the display name for a user". Who is invited counts as soon as they
        join: before, they cannot write.
        """
        name = self.names.get(user_id, "")
        return word_member(name, user_id, with_id=not self._is_told_apart(user_id, name))

    def _is_told_apart(self, user_id: str, name: str) -> bool:
        key = name_key(name)
        if user_id in (self.stranger, self.inviter) or key == name_key(self.own_display_name or ""):
            return False
        return self.is_between_two or self.holders.get(key) == (user_id,)

    def wants_comparing(self, user_id: str) -> bool:
        """Returns True if nobody knows yet whether another member has a name that looks like this member's."""
        name = self.names.get(user_id, "")
        return not self.is_between_two and can_name(name) and name_key(name) not in self.holders

    def picture(self, user_id: str, *, is_direct: bool) -> str | None:
        """The mxc: URI of the picture for a message of this user. In a conversation of two the sender's is preferred,
        in other rooms the room's; None: there is neither."""
        sender = self.avatars.get(user_id)
        return (sender or self.avatar_url) if is_direct else (self.avatar_url or sender)

    @property
    def is_between_two(self) -> bool:
        """True if the user and one other person are in the room, or invited, not counting bots that serve the room.

        Only bots that are known to be in the room are left out: else whoever may list them could make a room of many
        look private.
        """
        if self.joined_member_count is None:
            return False
        bots = sum(1 for user_id in self.service_members if user_id in self.heroes or self.names.get(user_id))
        return self.joined_member_count + (self.invited_member_count or 0) - bots <= _TWO

    def is_direct(self, direct_rooms: Collection[RoomId]) -> bool:
        """True for a conversation with one other person: a room of two that is in `m.direct`, or has no name."""
        is_named = self.name is not None or self.canonical_alias is not None
        return self.is_between_two and (not is_named or self.room_id in direct_rooms)

    @property
    def lacks_heroes(self) -> bool:
        """True if the room must be named after its members, and none of them is known."""
        has_title = self.name is not None or self.canonical_alias is not None or bool(self.heroes)
        return not has_title and self.joined_member_count is not None and self.joined_member_count > 1

    def context(self, me: str) -> Context:
        """The facts that push rules may ask for."""
        return Context(
            user_id=me,
            display_name=self.own_display_name,
            member_count=self.joined_member_count,
            power_levels=self.power_levels,
            creators=self.creators,
            room_version=self.room_version,
        )

    def title(self, me: str) -> str:
        """The room's name: its own, or its alias, or the names of its members, as the specification calculates it
        ("Calculating the display name for a room"). Bots that serve the room name it only if there is nobody else."""
        if self.name:
            return self.name
        if self.canonical_alias:
            return self.canonical_alias
        others = [hero for hero in self.heroes if hero != me]
        people = [hero for hero in others if hero not in self.service_members]
        if others:
            return self._title_by(people or others, len(others))
        if self.inviter:
            return self.name_of(self.inviter)
        return "Unnamed room"

    def _title_by(self, named: Sequence[str], known: int) -> str:
        """The title by these members, of `known` ones whom the server named."""
        keys = Counter(name_key(self.names.get(user_id, "")) for user_id in named)
        names = []
        for user_id in named:
            name = self.names.get(user_id, "")
            key = name_key(name)
            is_shared = keys[key] > 1 or self.holders.get(key, (user_id,)) != (user_id,) or user_id == self.stranger
            names.append(word_member(name, user_id, with_id=is_shared))
        if self.joined_member_count is None:
            return _enumerate(names)
        count = self.joined_member_count + (self.invited_member_count or 0)
        title = _enumerate(names, max(0, count - 1 - known))
        return title if count > 1 else f"Empty room (was {title})"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and shows_something(value) else None


def _service_members(content: Json) -> frozenset[str]:
    listed = content.get("service_members")
    return frozenset(filter(is_user_id, listed[:_MOST_SERVICE_MEMBERS] if isinstance(listed, list) else ()))


def _accepted_inviter(event: Event | StrippedState) -> UserId | None:
    """Who sent the invite that this join accepted, if the server tells in the join."""
    unsigned = event.raw.get("unsigned")
    if event.content.get("membership") != "join" or not isinstance(unsigned, Mapping):
        return None
    before, sender = unsigned.get("prev_content"), unsigned.get("prev_sender")
    was_invited = isinstance(before, Mapping) and before.get("membership") == "invite"
    return sender if was_invited and is_user_id(sender) else None


def _enumerate(names: Sequence[str], others: int = 0) -> str:
    if others:
        return f"{', '.join(names)} and {count_things(others, 'other')}"
    *head, last = names
    return f"{', '.join(head)} and {last}" if head else last
