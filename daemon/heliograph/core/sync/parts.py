"""Splits a plan into parts that the ledger can commit one by one, so that what cannot be kept is given up alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

from heliograph.core.events import AccountData
from heliograph.core.ids import EventKey
from heliograph.core.record import UNKEPT, Decision, Delivery, Judged, Plan
from heliograph.core.value_type import value_type


@value_type
class Part:
    """One event, change, room or piece of account data."""

    what: str
    """Names the part in a few words, for the log."""
    plan: Plan
    """The part as a plan, which leaves the sync token where it is."""

    @property
    def event_id(self) -> EventKey | None:
        """The event that the part is about, if it is judged for the first time; else None."""
        ids = [each.event_id for each in self.plan.judged] + [each.event_id for each in self.plan.deliveries]
        return ids[0] if ids and not self.plan.rejudged else None

    def given_up(self) -> Plan:
        """What to keep in the part's place: that its event was judged, and why it does not ring."""
        judged = (replace(each, decision=Decision.MALFORMED, reason=UNKEPT) for each in self.plan.judged)
        return Plan(None, judged=tuple(judged))


def split(plan: Plan) -> list[Part]:
    """All parts of the plan, in the order in which the ledger must take them."""
    return [*_events(plan), *_places(plan), *_changes(plan), *_account_data(plan.account_data)]


def join_parts(parts: Sequence[Part], next_batch: str | None) -> Plan:
    """The parts as one plan with this token; None: the token stays."""
    data = AccountData()
    for part in parts:
        data = _merge(data, part.plan.account_data)
    plans = [part.plan for part in parts]
    return Plan(
        next_batch,
        judged=tuple(each for plan in plans for each in plan.judged),
        deliveries=tuple(each for plan in plans for each in plan.deliveries),
        rejudged=tuple(each for plan in plans for each in plan.rejudged),
        changes=tuple(each for plan in plans for each in plan.changes),
        rooms=tuple(each for plan in plans for each in plan.rooms),
        account_data=data,
        locked=tuple(each for plan in plans for each in plan.locked),
        unlocked=tuple(each for plan in plans for each in plan.unlocked),
        timelines=tuple(each for plan in plans for each in plan.timelines),
        has_counted=any(plan.has_counted for plan in plans),
    )


def _events(plan: Plan) -> Iterator[Part]:
    """Each judgement with its deliveries: a judgement alone would keep the event from ever ringing."""
    deliveries: dict[EventKey, list[Delivery]] = {}
    for delivery in plan.deliveries:
        deliveries.setdefault(delivery.event_id, []).append(delivery)
    for again in plan.rejudged:
        ringing = tuple(deliveries.pop(again.event_id, ()))
        yield Part(f"what {again.event_id} says", Plan(None, rejudged=(again,), deliveries=ringing))
    for judged in _once(plan.judged):
        ringing = tuple(deliveries.pop(judged.event_id, ()))
        yield Part(judged.event_id, Plan(None, judged=(judged,), deliveries=ringing))
    for event_id, rest in deliveries.items():
        yield Part(event_id, Plan(None, deliveries=tuple(rest)))


def _places(plan: Plan) -> Iterator[Part]:
    for timeline in plan.timelines:
        yield Part("the order of a timeline", Plan(None, timelines=(timeline,)))
    if plan.has_counted:
        yield Part("that the homeserver counts", Plan(None, has_counted=True))


def _once(judged: Sequence[Judged]) -> Sequence[Judged]:
    """The first judgement of each event: that is the one that counts."""
    return list({each.event_id: each for each in reversed(judged)}.values())[::-1]


def _changes(plan: Plan) -> Iterator[Part]:
    for change in plan.changes:
        yield Part(f"a change of {change.event_id}", Plan(None, changes=(change,)))
    for locked in plan.locked:
        yield Part(f"{locked.event_id} until its key comes", Plan(None, locked=(locked,)))
    for event_id in plan.unlocked:
        yield Part(f"that the key of {event_id} came", Plan(None, unlocked=(event_id,)))
    for record in plan.rooms:
        yield Part(f"what is known of {record.facts.room_id}", Plan(None, rooms=(record,)))


def _account_data(data: AccountData) -> Iterator[Part]:
    for each in fields(data):
        value = getattr(data, each.name)
        if value is not None:
            yield Part(each.name.replace("_", " "), Plan(None, account_data=AccountData(**{each.name: value})))


def _merge(data: AccountData, more: AccountData) -> AccountData:
    changed = {each.name: value for each in fields(more) if (value := getattr(more, each.name)) is not None}
    return replace(data, **changed)
