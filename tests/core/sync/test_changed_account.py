"""Events of a sync that also changes the rules or the ignored users are judged as it was when they came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.encryption.values import Clear
from heliograph.core.events import AccountData, Event, Sync
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import Verdict
from heliograph.core.record import AccountState, Decision, RoomRecord
from heliograph.core.sync.gaps import is_list_wanted
from heliograph.core.sync.invites import invite_event
from heliograph.core.sync.judging import SERVER_RULE, Judge
from heliograph.core.sync.plan import plan
from heliograph.core.sync.situation import Mode, Situation
from support.builders import ALICE, BOB, ME, ROOM, make_event, make_facts, make_server_notification, make_sync
from support.rule_builders import make_rule, match

LOUD = Ruleset.predefined(ME)
MUTED = Ruleset.parse({"override": [make_rule(ROOM, conditions=[match("room_id", ROOM)]) | {"actions": []}]})
MENTIONS = Ruleset.parse({"room": [make_rule(ROOM) | {"actions": []}]})
EVENT = make_event(event_id="$1")
LISTED = {EVENT.event_id: Verdict(notify=True, rule=SERVER_RULE)}
READ = {"$1": Clear(EVENT.raw, "curve25519", "ed25519")}


def situation(**known: Any) -> Situation:
    before = Situation(ME, Mode.LOCAL, AccountState(), LOUD, rooms={ROOM: RoomRecord(make_facts())})
    return replace(before, **known)


def rings(sync: Sync, known: Situation) -> bool:
    (judged,) = plan(sync, known).judged
    return judged.decision is Decision.RING


def forgiving(event: Event) -> tuple[Sync, AccountState]:
    """A sync that brings the event, and ends that its sender is ignored."""
    sync = replace(make_sync(event), account_data=AccountData(ignored_users=frozenset({BOB})))
    return sync, AccountState(ignored_users=frozenset({ALICE, BOB}))


@pytest.mark.parametrize(
    ("now", "before", "known", "does_ring"),
    [
        (MUTED, LOUD, {"listed": LISTED}, True),
        (LOUD, MUTED, {"listed": LISTED}, True),
        (MUTED, LOUD, {"is_list_whole": True}, False),
        (LOUD, MUTED, {"is_list_whole": True}, False),
        (MUTED, LOUD, {}, False),
        (LOUD, MUTED, {}, True),
        (MUTED, MUTED, {"listed": LISTED}, True),
        (LOUD, LOUD, {"is_list_whole": True}, False),
        (LOUD, None, {"is_list_whole": True}, True),
    ],
)
def test_the_list_tells_which_rules_held_when_an_event_came(
    now: Ruleset, before: Ruleset | None, known: dict[str, Any], does_ring: bool
) -> None:
    assert rings(make_sync(EVENT), situation(ruleset=now, earlier_ruleset=before, **known)) is does_ring


@pytest.mark.parametrize(
    ("now", "before", "known", "does_ring"),
    [
        (MUTED, LOUD, {"listed": LISTED}, True),
        (MUTED, LOUD, {"is_list_whole": True}, False),
        (MENTIONS, LOUD, {"listed": LISTED}, True),
        (LOUD, MENTIONS, {"is_list_whole": True}, False),
        (LOUD, MUTED, {}, True),
        # Both rulesets let it ring, or neither: the homeserver's word tells nothing of them.
        (LOUD, LOUD, {"is_list_whole": True}, True),
        (MENTIONS, MUTED, {"listed": LISTED}, False),
        # A late event may have rung before the last sync.
        (MUTED, LOUD, {"listed": LISTED, "late": [EVENT]}, False),
    ],
)
def test_the_list_tells_which_rules_go_for_the_words_of_an_encrypted_event(
    now: Ruleset, before: Ruleset, known: dict[str, Any], does_ring: bool
) -> None:
    told = situation(ruleset=now, earlier_ruleset=before, clear=READ, **known)
    assert Judge(told).apply_rules(EVENT, make_facts()).notify is does_ring


@pytest.mark.parametrize("now", [LOUD, MUTED])
def test_an_invite_goes_by_the_present_rules_though_no_list_names_it(now: Ruleset) -> None:
    invite = invite_event(ROOM, None, ME, RoomRecord(make_facts()))
    told = situation(ruleset=now, earlier_ruleset=LOUD, is_list_whole=True)
    assert Judge(told).apply_rules(invite, make_facts()).notify is (now is LOUD)


def test_what_somebody_wrote_while_ignored_stays_silent() -> None:
    sync, account = forgiving(EVENT)
    (judged,) = plan(sync, situation(account=account)).judged
    assert (judged.decision, judged.reason) == (Decision.SILENT, "its sender was ignored when it came")


def test_what_somebody_wrote_since_they_are_not_ignored_rings_if_the_list_has_it() -> None:
    sync, account = forgiving(EVENT)
    assert rings(sync, situation(account=account, listed=LISTED))


def test_what_the_homeserver_itself_lists_of_them_in_direct_mode_rings() -> None:
    sync, account = forgiving(EVENT)
    item = make_server_notification(EVENT, "notify")
    known = situation(mode=Mode.DIRECT, account=account, listed=LISTED)
    assert rings(replace(sync, notifications=(item,)), known)


def test_the_list_is_wanted_where_somebody_is_ignored_no_more() -> None:
    sync, account = forgiving(EVENT)
    assert is_list_wanted(sync, situation(account=account))
    assert not is_list_wanted(make_sync(EVENT), situation(account=account))
    others, _ = forgiving(make_event(sender=BOB))
    assert not is_list_wanted(others, situation(account=account))


@pytest.mark.parametrize(
    ("known", "is_wanted"),
    [
        ({"earlier_ruleset": MUTED}, True),
        ({"earlier_ruleset": MUTED, "rooms": {}}, True),
        ({"earlier_ruleset": LOUD}, True),
        ({}, False),
        ({"earlier_ruleset": MUTED, "clear": READ}, True),
    ],
)
def test_the_list_is_wanted_where_rules_have_changed(known: dict[str, Any], is_wanted: bool) -> None:
    assert is_list_wanted(make_sync(EVENT), situation(**known)) is is_wanted


def test_ones_own_events_want_no_list() -> None:
    assert not is_list_wanted(make_sync(make_event(sender=ME)), situation(earlier_ruleset=MUTED))
