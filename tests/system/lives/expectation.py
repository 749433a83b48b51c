"""What Heliograph owes for each event, from what the homeserver says of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from system.lives.oracle import Delivery, Expected
from system.lives.people import Said, User
from system.lives.truth import CALLS, DECLINE, MEMBER, RING, Event, Receipt, Room

WITH_ALL = "org.matrix.msc4293.redact_events"
_ANSWERS = ("m.call.answer", "m.call.reject")


def expect(
    user: User, said: Mapping[int, Said], rows: Sequence[Delivery], gone_before: Collection[str]
) -> Iterator[Expected]:
    """Of all events of one user. `rows`: invites have ids of Heliograph's own, which are looked up there."""
    by_event = {each.event_id: each for each in said.values()}
    for room in user.truth.rooms.values():
        for event in room.events.values():
            gone = why_gone(user, room, event)
            mine = by_event.get(event.event_id)
            yield Expected(
                number=0 if mine is None else mine.number,
                event_id=event.event_id,
                room_id=room.room_id,
                account=user.user_id,
                rings=must_ring(user, room, event),
                gone=gone,
                version=0 if mine is None else mine.version,
                is_quoted=mine is not None and mine.is_quoted,
                is_cleared=event.event_id in user.cleared,
                is_highlight=event.is_highlight,
                was_gone=event.event_id in gone_before,
                ring_is_unknown=event.ring_is_unknown,
                highlight_is_unknown=event.ring_is_unknown or event.highlight_is_unknown,
                names=event.names,
            )
        yield from _expect_invite(user, room, by_event, rows, gone_before)


def word_summary(user: User) -> str | None:
    """What a first start now has to say of what is unread. None: nothing is."""
    unread = user.truth.unread
    invites = sum(room.membership == "invite" for room in user.truth.rooms.values())
    parts = []
    if unread:
        rooms = len(set(unread.values()))
        parts.append(f"{_count(len(unread), 'unread notification')} in {_count(rooms, 'room')}")
    if invites:
        parts.append(_count(invites, "invite"))
    return " and ".join(parts) or None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def must_ring(user: User, room: Room, event: Event) -> bool:
    """Whether the event rings at all."""
    if user.first_look is None or event.look <= user.first_look or event.sender == user.user_id:
        return False
    if event.type == "m.room.member" and event.state_key == user.user_id:
        # An invite rings as such, and not as an event of a room that the user is in.
        return False
    if is_for_another(user, event):
        return False
    # No homeserver tells since when the device is silenced: what came in an absence goes by its end.
    if event.is_from_ignored or user.is_silenced(user.told_by(event.look)):
        return False
    return event.rings


def why_gone(user: User, room: Room, event: Event) -> str:
    """Why it is no longer unread, or ""."""
    if is_taken_back(room, event):
        return "redacted"
    if room.membership != "join" or (room.stays and event.place < room.stays[-1]):
        return "left"
    if event.event_id in user.opened:
        return "opened"
    if any(covers(user, receipt, event) for receipt in user.truth.receipts if receipt.room_id == room.room_id):
        return "read"
    if _is_ignored_since(user, event.sender, event.look):
        return "ignored"
    if event.is_silent_after_all:
        return "silent after all"
    if any(takes_place(user, room, other, event) for other in room.events.values()):
        return "edited"
    if any(is_taken_by(user, other, event) for other in room.events.values()):
        return "taken elsewhere"
    if any(answers(user, other, event) for other in room.events.values()):
        return "answered"
    return ""


def _is_ignored_since(user: User, sender: str, look: int) -> bool:
    """Whether the sender was ignored at any time after this look."""
    return any(sender in ignored for at, ignored in user.truth.ignoring if at > look)


def is_taken_back(room: Room, event: Event) -> bool:
    """Whether the event, or what it edits, was redacted, or its sender banned with all that they wrote (MSC4293)."""
    edited = None if event.replaces is None else room.events.get(event.replaces)
    if event.redacted_look is not None or (edited is not None and edited.redacted_look is not None):
        return True
    return any(takes_all_back(other, event) for other in room.events.values())


def takes_place(user: User, room: Room, other: Event, event: Event) -> bool:
    """Whether the other event is a later edit by the same person, of this event or of what this one edits, that rings
    in its place."""
    return (
        other.replaces is not None
        and other.replaces in (event.event_id, event.replaces)
        and other.sender == event.sender
        and other.place > event.place
        and must_ring(user, room, other)
    )


def covers(user: User, receipt: Receipt, event: Event) -> bool:
    """Whether the receipt reads the event: by order and thread."""
    marked = user.truth.rooms[receipt.room_id].events.get(receipt.event_id)
    if marked is None or marked.place < event.place:
        return False
    match receipt.thread_id:
        case None:
            return True
        case "main":
            return event.thread_root is None
        case thread_id:
            return event.thread_root == thread_id


def answers(user: User, other: Event, event: Event) -> bool:
    """Who writes somewhere has read what stands above."""
    return (
        other.sender == user.user_id
        and other.type == "m.room.message"
        and not other.is_relation
        and other.place > event.place
        and other.thread_root == event.thread_root
    )


def takes_all_back(other: Event, event: Event) -> bool:
    """Whether the other event bans the sender with all that they wrote before."""
    is_ban = other.type == "m.room.member" and other.content.get("membership") == "ban"
    return (
        is_ban and other.state_key == event.sender and bool(other.content.get(WITH_ALL)) and other.place > event.place
    )


def is_for_another(user: User, event: Event) -> bool:
    """Whether the event calls somebody else."""
    return event.type == "m.call.invite" and event.content.get("invitee", user.user_id) != user.user_id


def is_taken_by(user: User, other: Event, call: Event) -> bool:
    """Whether the other event is the user's answer to the call. A room has one call at a time: whoever takes or
    declines one there is done with those before."""
    if call.type not in CALLS or other.sender != user.user_id or other.place < call.place:
        return False
    if other.type == DECLINE:
        return other.relation.get("event_id") == call.event_id
    return other.type in _ANSWERS or (other.type == MEMBER and bool(other.content))


def is_hung_up_by(other: Event, call: Event) -> bool:
    """Whether the caller says by the other event that the call is over."""
    if other.sender != call.sender or other.place < call.place:
        return False
    if call.type == RING:
        return other.type == MEMBER and not other.content
    return other.type == "m.call.hangup" and other.content.get("call_id") == call.content.get("call_id")


def may_ring(user: User, room: Room, call: Event, now_ms: int) -> bool:
    """Whether nothing has ended the ringing of this call."""
    if call.type not in CALLS or is_for_another(user, call) or why_gone(user, room, call):
        return False
    is_over = now_ms > call.sent_ms + float(call.content.get("lifetime", 0))
    return not is_over and not any(is_hung_up_by(other, call) for other in room.events.values())


def _expect_invite(
    user: User, room: Room, said: Mapping[str, Said], rows: Sequence[Delivery], gone_before: Collection[str]
) -> Iterator[Expected]:
    """The latest invite; those before it are gone."""
    found = [each.event_id for each in rows if each.room_id == room.room_id and each.event_id.startswith("invite:")]
    is_pending = room.membership == "invite"
    for event_id in found[:-1] if is_pending else found:
        yield Expected(0, event_id, room.room_id, user.user_id, rings=True, gone="answered", is_quoted=False)
    if not is_pending:
        return
    invite = room.invites[-1]
    event_id = found[-1] if found else f"invite:{room.room_id}"
    mine = next((each for each in said.values() if each.room_id == room.room_id and not each.event_id), None)
    # Whoever is no longer ignored invited before that: what was taken back then does not ring again.
    is_ignored = _is_ignored_since(user, invite.sender, invite.look)
    was_ignored = invite.sender in user.truth.ignored_at(invite.look)
    rings = (
        user.first_look is not None
        and invite.look > user.first_look
        and not user.is_silenced(user.told_by(invite.look))
    )
    yield Expected(
        number=0 if mine is None else mine.number,
        event_id=event_id,
        room_id=room.room_id,
        account=user.user_id,
        rings=rings and not was_ignored,
        gone="opened" if event_id in user.opened else "ignored" if is_ignored else "",
        is_quoted=mine is not None,
        is_cleared=event_id in user.cleared,
        was_gone=event_id in gone_before,
    )
