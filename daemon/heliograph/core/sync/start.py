"""Plans the first sync of an account: all that was unread before becomes one summary, never a flood."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha256

from heliograph.core.events import ServerNotification, Sync
from heliograph.core.ids import NO_ROOM, NOBODY, OwnKey, RoomId, own_key
from heliograph.core.record import Content, Decision, Delivery, Judged, Plan

BEFORE = "from before the first start"


def first_plan(
    sync: Sync,
    before: Sequence[ServerNotification],
    invites: Collection[RoomId],
    *,
    has_more: bool,
) -> Plan:
    """The plan of the first sync ever: from its token on, events ring one by one.

    `before`: what GET /notifications lists, newest first; `has_more`: the list goes on beyond it. `invites`: rooms with
    an open invite, besides those that the sync names.
    """
    # Without invites, which are counted apart.
    unread = [item for item in before if not item.is_read and item.event.state_key is None]
    invited = {room.room_id for room in sync.invited}.union(invites)
    text = _word(len(unread), len({item.event.room_id for item in unread}), len(invited), has_more=has_more)
    return replace(
        _summary(sync.next_batch, text) if text else Plan(next_batch=sync.next_batch),
        judged=tuple(
            Judged(
                event_id=item.event.event_id,
                room_id=item.event.room_id,
                decision=Decision.SILENT,
                reason=BEFORE,
                sender=item.event.sender,
                thread_root=item.event.thread_root,
                origin_server_ts=item.event.origin_server_ts,
            )
            # The oldest first: the ledger gives positions in this order, by which later receipts say what they cover.
            for item in sorted(before, key=lambda item: item.ts)
        )
        + ((_judged_summary(sync.next_batch),) if text else ()),
        account_data=sync.account_data,
    )


def anew_plan(next_batch: str) -> Plan:
    """The plan that starts anew after the homeserver forgot our token, and cannot list what was missed."""
    return replace(
        _summary(next_batch, "The homeserver lost track of this device: some messages may have arrived unseen"),
        judged=(_judged_summary(next_batch),),
    )


def _word(unread: int, rooms: int, invites: int, *, has_more: bool) -> str:
    parts = []
    if unread:
        count = f"{unread} or more" if has_more else str(unread)
        parts.append(f"{count} unread {_plural('notification', unread)} in {rooms} {_plural('room', rooms)}")
    if invites:
        parts.append(f"{invites} {_plural('invite', invites)}")
    return " and ".join(parts)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _summary_id(next_batch: str) -> OwnKey:
    return own_key("start", sha256(next_batch.encode()).hexdigest()[:16])


def _summary(next_batch: str, text: str) -> Plan:
    delivery = Delivery(
        event_id=_summary_id(next_batch),
        room_id=NO_ROOM,
        sender=NOBODY,
        content=Content(room_title="Matrix", sender_name="", text=text),
    )
    return Plan(next_batch=next_batch, deliveries=(delivery,))


def _judged_summary(next_batch: str) -> Judged:
    return Judged(_summary_id(next_batch), None, Decision.RING, "summary")
