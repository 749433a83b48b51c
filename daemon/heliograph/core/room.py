"""The facts of a room: enough to judge its events and to name it, never the whole list of its members."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from heliograph.core.events import Event, Json, RoomSummary, StrippedState
from heliograph.core.ids import OwnKey, RoomId, UserId, is_user_id
from heliograph.core.mxc import clean_mxc
from heliograph.core.push.context import Context

FACT_TYPES = (
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.create",
    "m.room.encryption",
    "m.room.member",
    "m.room.name",
    "m.room.power_levels",
)
"""The types of state event from which facts are made, in alphabetical order."""


@dataclass(frozen=True, slots=True)
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
    creators: frozenset[str] = frozenset()
    power_levels: Json | None = None
    """The content of `m.room.power_levels`."""
    joined_member_count: int | None = None
    heroes: tuple[UserId, ...] = ()
    own_display_name: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    """Display names by user id, of the members whose names were needed so far; "": the member has none."""
    avatars: Mapping[str, str] = field(default_factory=dict)
    """The mxc: URIs of these members' pictures by user id, of those who have one."""
    inviter: UserId | None = None

    def after(self, event: Event | StrippedState, me: str) -> RoomFacts:
        """The facts after this state event. Other events change nothing."""
        if event.state_key is None:
            return self
        # State of these types counts only under an empty key; members have their user ids for keys.
        content = event.content
        if event.type == "m.room.member":
            return self._after_member(event.state_key, event.sender, content, me)
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
        return self

    def _after_member(self, user_id: str, sender: UserId | OwnKey, content: Json, me: str) -> RoomFacts:
        name = _text(content.get("displayname"))
        facts = self.with_name(user_id, name, clean_mxc(content.get("avatar_url")))
        if user_id == me:
            facts = replace(facts, own_display_name=name)
            if content.get("membership") == "invite":
                facts = replace(facts, inviter=sender if is_user_id(sender) else None)
        return facts

    def with_name(self, user_id: str, name: str | None, avatar: str | None = None) -> RoomFacts:
        """The facts with this member's display name and picture; None: the member has none."""
        avatars = {**self.avatars, user_id: avatar} if avatar else dict(self.avatars)
        if not avatar:
            avatars.pop(user_id, None)
        return replace(
            # Read-only copies: these facts are a value, and the planner still compares with the earlier one.
            self,
            names=MappingProxyType({**self.names, user_id: name or ""}),
            avatars=MappingProxyType(avatars),
        )

    def _after_create(self, sender: str, content: Json) -> RoomFacts:
        version = _text(content.get("room_version")) or "1"
        # Since room version 12 the sender of m.room.create is the creator, and may name others (MSC4289).
        creators = {sender}
        additional = content.get("additional_creators")
        if isinstance(additional, list):
            creators.update(user for user in additional if isinstance(user, str))
        return replace(self, room_version=version, creators=frozenset(creators))

    def after_summary(self, summary: RoomSummary) -> RoomFacts:
        """The facts with the `summary` of a /sync. What the server left out of that stays."""
        facts = self
        if summary.joined_member_count is not None:
            facts = replace(facts, joined_member_count=summary.joined_member_count)
        if summary.heroes is not None:
            facts = replace(facts, heroes=summary.heroes)
        return facts

    def name_of(self, user_id: str) -> str:
        """The member's display name in this room, or else the user id."""
        return self.names.get(user_id) or user_id

    def picture(self, user_id: str, *, is_direct: bool) -> str | None:
        """The mxc: URI of the picture for a message of this user. In a conversation of two the sender's is preferred,
        in other rooms the room's; None: there is neither."""
        sender = self.avatars.get(user_id)
        return (sender or self.avatar_url) if is_direct else (self.avatar_url or sender)

    def is_direct(self, direct_rooms: Collection[RoomId]) -> bool:
        """True for a conversation with one other person: a room in `m.direct`, or a room of two without a name."""
        if self.room_id in direct_rooms:
            return True
        is_named = self.name is not None or self.canonical_alias is not None
        return not is_named and self.joined_member_count is not None and self.joined_member_count <= 2

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
        ("Calculating the display name for a room")."""
        if self.name:
            return self.name
        if self.canonical_alias:
            return self.canonical_alias
        others = [self.name_of(hero) for hero in self.heroes if hero != me]
        if others:
            return _and(others)
        if self.inviter:
            return self.name_of(self.inviter)
        return "Unnamed room"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _and(names: Iterable[str]) -> str:
    *head, last = names
    return f"{', '.join(head)} and {last}" if head else last
