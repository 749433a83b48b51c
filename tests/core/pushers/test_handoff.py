"""Who rings, and in which order the change is made: so that nothing falls between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.pushers.handoff import (
    Collect,
    HandoffSettings,
    Hush,
    KnownPushers,
    Ring,
    SetUp,
    Signs,
    SwitchOff,
    SwitchOn,
    off_now,
    outdated,
    plan_handoff,
    set_up,
    why_elsewhere,
)
from heliograph.core.pushers.pusher import Pusher
from support.builders import make_pusher

DIRECT = make_pusher(app_id="io.github.heliograph", pushkey="own", kind="direct")
FALLBACK = make_pusher(app_id="fallback", pushkey="topic", device_display_name="Fallback")
PHONE = make_pusher(app_display_name="Element Android")
SWITCH = HandoffSettings(mode="switch", fallback=FALLBACK.key)
QUIET = HandoffSettings(quiet=("element android",))


def known(*pushers: Pusher, **more: Any) -> KnownPushers:
    given: dict[str, Any] = {"own": DIRECT.key, "pushers": (DIRECT, *pushers), "has_remote_toggle": True}
    return KnownPushers(**(given | more))


def off(pusher: Pusher) -> Pusher:
    return replace(pusher, is_enabled=False)


@pytest.mark.parametrize(
    ("signs", "why"),
    [
        (Signs(), None),
        (Signs(is_locked=True), "locked"),
        (Signs(is_idle=True), "keyboard"),
        (Signs(is_asleep=True, is_locked=True), "sleeps"),
        (Signs(has_server=False), "notification server"),
        (Signs(why_quiet="you have paused notifications here"), "you have paused"),
        (Signs(why_quiet="these are quiet hours here", is_locked=True), "locked"),
        (Signs(is_stopping=True, is_asleep=True), "stops"),
    ],
)
def test_the_user_is_away_for_a_reason(signs: Signs, why: str | None) -> None:
    assert (signs.why_away is None) is (why is None)
    assert why is None or why in str(signs.why_away)
    assert why_elsewhere(signs, is_enabled=True, is_silenced=False) == signs.why_away


@pytest.mark.parametrize(
    ("is_enabled", "is_silenced", "is_token_ending", "why"),
    [
        (True, False, False, None),
        (False, True, False, "switched"),
        (True, True, False, "silenced"),
        (True, False, True, "token"),
    ],
)
def test_what_makes_this_desktop_silent_leaves_the_ringing_to_others(
    is_enabled: bool, is_silenced: bool, is_token_ending: bool, why: str | None
) -> None:
    told = why_elsewhere(Signs(), is_enabled=is_enabled, is_silenced=is_silenced, is_token_ending=is_token_ending)
    assert (told is None) is (why is None)
    assert why is None or why in str(told)


@pytest.mark.parametrize(
    ("settings", "has_direct", "has_toggle", "expected"),
    [
        (SWITCH, True, False, SetUp.RELAY),
        (HandoffSettings(), True, True, SetUp.RELAY),
        (SWITCH, False, True, SetUp.SWITCH),
        (SWITCH, False, False, SetUp.ALWAYS),
        (HandoffSettings(), False, True, SetUp.ALWAYS),
    ],
)
def test_the_server_decides_what_is_possible(
    settings: HandoffSettings, has_direct: bool, has_toggle: bool, expected: SetUp
) -> None:
    assert set_up(settings, has_direct_push=has_direct, has_remote_toggle=has_toggle) is expected


# A stock server


def test_coming_back_switches_the_fallback_off_after_a_sync_that_worked() -> None:
    assert plan_handoff(known(FALLBACK, PHONE), SWITCH, is_away=False) == (Collect(), SwitchOff(FALLBACK))


def test_leaving_switches_it_on_and_collects_what_came_before_the_switch() -> None:
    held = known(off(FALLBACK), PHONE, switched_off=frozenset({FALLBACK.key}))
    assert plan_handoff(held, SWITCH, is_away=True) == (SwitchOn(off(FALLBACK)), Collect(), Hush())


def test_what_is_as_it_should_be_is_left_alone() -> None:
    held = known(off(FALLBACK), switched_off=frozenset({FALLBACK.key}))
    assert plan_handoff(held, SWITCH, is_away=False) == ()
    assert plan_handoff(known(FALLBACK, is_hushed=True), SWITCH, is_away=True) == ()


def test_the_always_mode_leaves_the_fallback_on() -> None:
    always = HandoffSettings(fallback=FALLBACK.key)
    assert plan_handoff(known(FALLBACK), always, is_away=False) == ()
    assert plan_handoff(known(FALLBACK), always, is_away=True) == (Hush(),)


def test_quiet_devices_are_silent_while_the_user_is_here_only() -> None:
    assert plan_handoff(known(FALLBACK, PHONE), QUIET, is_away=False) == (Collect(), SwitchOff(PHONE))
    held = known(FALLBACK, off(PHONE), switched_off=frozenset({PHONE.key}))
    assert plan_handoff(held, QUIET, is_away=True) == (SwitchOn(off(PHONE)), Collect(), Hush())


def test_our_own_pusher_is_never_quiet() -> None:
    settings = HandoffSettings(quiet=(DIRECT.app_display_name, DIRECT.app_id))
    assert plan_handoff(known(), settings, is_away=False) == ()


def test_what_another_client_switched_off_stays_off() -> None:
    theirs = known(off(FALLBACK), off(PHONE))
    settings = replace(SWITCH, quiet=QUIET.quiet)
    assert plan_handoff(theirs, settings, is_away=True) == ()
    assert plan_handoff(theirs, settings, is_away=False) == ()


def test_what_another_client_switched_on_meanwhile_is_left_alone_until_the_next_return() -> None:
    key = frozenset({PHONE.key})
    again = known(PHONE, switched_off=key, seen_off=key)
    assert plan_handoff(again, QUIET, is_away=False) == ()
    assert outdated(again) == key
    left_alone = known(PHONE, left_alone=key)
    assert plan_handoff(left_alone, QUIET, is_away=False) == ()
    assert plan_handoff(known(PHONE), QUIET, is_away=False) == (Collect(), SwitchOff(PHONE))


def test_a_switch_that_was_written_down_and_never_made_is_made() -> None:
    planned = known(PHONE, switched_off=frozenset({PHONE.key}))
    assert plan_handoff(planned, QUIET, is_away=False) == (Collect(), SwitchOff(PHONE))
    assert outdated(planned) == frozenset()


def test_a_pusher_that_is_gone_is_forgotten() -> None:
    gone = known(switched_off=frozenset({PHONE.key}))
    assert outdated(gone) == {PHONE.key}
    assert off_now(gone) == frozenset()
    assert off_now(known(off(PHONE), off(FALLBACK), switched_off=frozenset({PHONE.key}))) == {PHONE.key}


def test_what_the_configuration_no_longer_wants_quiet_gets_its_voice_back() -> None:
    held = known(off(PHONE), switched_off=frozenset({PHONE.key}))
    assert plan_handoff(held, HandoffSettings(), is_away=False) == (SwitchOn(off(PHONE)),)


def test_a_server_that_cannot_switch_is_not_asked_to() -> None:
    assert plan_handoff(known(FALLBACK, PHONE, has_remote_toggle=False), SWITCH, is_away=False) == ()


# A relay


def test_leaving_a_relay_acknowledges_first_then_lets_it_push() -> None:
    relay = known(FALLBACK, has_direct_push=True)
    assert plan_handoff(relay, SWITCH, is_away=True) == (Collect(), SwitchOff(DIRECT), Hush())


def test_coming_back_to_a_relay_has_it_hold_pushes_back_again() -> None:
    relay = KnownPushers(
        DIRECT.key,
        (off(DIRECT), FALLBACK),
        switched_off=frozenset({DIRECT.key}),
        has_direct_push=True,
        is_hushed=True,
    )
    assert plan_handoff(relay, SWITCH, is_away=False) == (Collect(), Ring(), SwitchOn(off(DIRECT)))


def test_a_relay_needs_no_quiet_devices_and_gives_back_those_of_before() -> None:
    assert plan_handoff(known(PHONE, has_direct_push=True), QUIET, is_away=False) == ()
    held = known(off(PHONE), switched_off=frozenset({PHONE.key}), has_direct_push=True)
    assert plan_handoff(held, QUIET, is_away=False) == (SwitchOn(off(PHONE)),)


def test_a_direct_pusher_that_another_client_switched_off_is_not_switched_on() -> None:
    theirs = KnownPushers(DIRECT.key, (off(DIRECT), FALLBACK), has_direct_push=True)
    assert plan_handoff(theirs, SWITCH, is_away=True) == (Hush(),)
    assert plan_handoff(replace(theirs, is_hushed=True), SWITCH, is_away=False) == (Collect(), Ring())


# What happens here meanwhile


def test_the_desktop_is_hushed_only_where_something_else_rings() -> None:
    assert plan_handoff(known(), SWITCH, is_away=True) == ()
    assert plan_handoff(known(off(PHONE)), SWITCH, is_away=True) == ()
    assert plan_handoff(known(PHONE), SWITCH, is_away=True) == (Hush(),)


def test_the_desktop_may_ring_on() -> None:
    assert plan_handoff(known(PHONE), replace(SWITCH, while_away="ring"), is_away=True) == ()


def test_before_it_rings_again_it_is_collected_what_was_read_elsewhere() -> None:
    assert plan_handoff(known(FALLBACK, is_hushed=True), SWITCH, is_away=False) == (
        Collect(),
        Ring(),
        SwitchOff(FALLBACK),
    )
