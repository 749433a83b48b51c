"""Decides who rings: this desktop while the user is there, the HTTP pushers otherwise. Facts go in, steps come out.

The order is the promise. On Synapse, switching a pusher on moves its cursor to the present, so events from before are
never pushed: they are collected here with one more sync, after the switch. And a pusher is switched off only after a
sync that worked.
Tests: test_leaving_switches_it_on_and_collects_what_came_before_the_switch,
test_coming_back_switches_the_fallback_off_after_a_sync_that_worked.

    away, relay    collect, own direct pusher off, hush     what is pushed from now on is not held back
    away, switch   HTTP pushers on, collect, hush
    back, relay    collect, ring, own direct pusher on
    back, switch   collect, ring, HTTP pushers off
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Literal

from heliograph.core.pushers.pusher import Pusher, PusherKey, is_called
from heliograph.core.value_type import value_type


@value_type
class Signs:
    """What tells whether the user is at this desktop. The defaults are those of a machine that tells nothing."""

    is_locked: bool = False
    is_idle: bool = False
    """True once the user has been idle for as long as the configuration allows for."""
    is_asleep: bool = False
    """The machine goes to sleep, or has not said yet that it woke."""
    has_server: bool = True
    """Something shows notifications."""
    why_quiet: str = ""
    """Why nothing pops up here, while other devices may ring; "": it is not quiet, or it is for all of them."""
    is_stopping: bool = False

    @property
    def why_away(self) -> str | None:
        """Why the user counts as away; None: they count as present."""
        if self.is_stopping:
            return "Heliograph stops"
        if self.is_asleep:
            return "the machine sleeps"
        if self.is_locked:
            return "the session is locked"
        if self.is_idle:
            return "nobody has touched keyboard or mouse for a while"
        if not self.has_server:
            return "there is no notification server"
        return self.why_quiet or None


def why_elsewhere(signs: Signs, *, is_enabled: bool, is_silenced: bool, is_token_ending: bool = False) -> str | None:
    """Why other devices should ring, and not this one. None: this one should.

    What another client switched off (MSC3881) or silenced (MSC3890) does not ring, so the others must. A desktop
    whose access token ends hears nothing soon, and could not switch the others on any more.
    """
    if signs.why_away is not None:
        return signs.why_away
    if not is_enabled:
        return "another of your clients switched Heliograph off"
    if is_token_ending:
        return "the access token ends and cannot be renewed"
    return "another of your clients silenced Heliograph" if is_silenced else None


class SetUp(Enum):
    """How the desktop and the HTTP pushers share the ringing."""

    RELAY = "relay"
    """The server holds HTTP pushes back while a direct pusher takes them (MSC3361): one rings."""
    SWITCH = "switch"
    """Pushers are switched off while the user is here (MSC3881)."""
    ALWAYS = "always"
    """HTTP pushers ring, whatever happens here."""


@value_type
class HandoffSettings:
    """What the configuration says."""

    mode: Literal["always", "switch"] = "always"
    while_away: Literal["silent", "wait", "ring"] = "silent"
    quiet: tuple[str, ...] = ()
    """Names of pushers that are silent while the user is here."""
    fallback: PusherKey | None = None


@value_type
class KnownPushers:
    """What is known of the account at one moment."""

    own: PusherKey
    """Our direct pusher."""
    pushers: tuple[Pusher, ...]
    switched_off: frozenset[PusherKey] = frozenset()
    """The pushers that we switched off, as the ledger has it."""
    seen_off: frozenset[PusherKey] = frozenset()
    """The pushers of `switched_off` that were listed as off since. If one is on again, another client did that."""
    left_alone: frozenset[PusherKey] = frozenset()
    """Switched on again by another client while we had them off: not ours until the user comes back again."""
    has_direct_push: bool = False
    has_remote_toggle: bool = False
    is_hushed: bool = False


@value_type
class SwitchOn:
    """Switch this pusher on, then forget that we switched it off."""

    pusher: Pusher


@value_type
class SwitchOff:
    """Write down that we switch this pusher off, then do it."""

    pusher: Pusher


@value_type
class Collect:
    """Sync without waiting until nothing new comes. If that fails, what follows but `Ring` has to wait."""


@value_type
class Hush:
    """Another device rings: notifications here are silent, or wait."""


@value_type
class Ring:
    """Notifications here are as they should be."""


HandoffStep = SwitchOn | SwitchOff | Collect | Hush | Ring


def set_up(settings: HandoffSettings, *, has_direct_push: bool, has_remote_toggle: bool) -> SetUp:
    """What the server allows for, of what the configuration asks for."""
    if has_direct_push:
        return SetUp.RELAY
    return SetUp.SWITCH if settings.mode == "switch" and has_remote_toggle else SetUp.ALWAYS


def plan_handoff(known: KnownPushers, settings: HandoffSettings, *, is_away: bool) -> tuple[HandoffStep, ...]:
    """What to do, in order, so that it is as it should be. Nothing, if it is."""
    should_be_off = _should_be_off(known, settings, is_away=is_away)
    # Only pushers that we switched off are switched on: what another client switched off is that client's matter.
    on = [SwitchOn(each) for each in known.pushers if _is_ours_to_enable(each, known, should_be_off)]
    off = [SwitchOff(each) for each in known.pushers if _is_to_be_disabled(each, known, should_be_off)]
    if is_away:
        hush = [Hush()] if not known.is_hushed and _is_covered(known, settings) else []
        is_collected = any(each.pusher.key != known.own for each in on) or bool(off)
        collect = [Collect()] if is_collected else []
        # With a relay our own pusher goes off, after which the relay holds nothing back: collected before, so that what
        # it holds now is acknowledged. Without one, pushers go on first: what comes until then rings nowhere else.
        return (*collect, *on, *off, *hush) if off else (*on, *collect, *hush)
    if known.is_hushed:
        # Collected first: what was read on the phone meanwhile must not ring here.
        return (Collect(), Ring(), *on, *off)
    # A sync that works proves that this desktop can ring, before others fall silent.
    return (Collect(), *on, *off) if off else tuple(on)


def outdated(known: KnownPushers) -> frozenset[PusherKey]:
    """Pushers that the ledger calls switched off, and that another client switched on or removed."""
    there = {each.key: each for each in known.pushers}
    return frozenset(
        key for key in known.switched_off if key not in there or (there[key].is_enabled and key in known.seen_off)
    )


def off_now(known: KnownPushers) -> frozenset[PusherKey]:
    """Pushers that are off as we switched them."""
    return frozenset(each.key for each in known.pushers if each.key in known.switched_off and not each.is_enabled)


def _should_be_off(known: KnownPushers, settings: HandoffSettings, *, is_away: bool) -> frozenset[PusherKey]:
    if known.has_direct_push:
        # The relay holds back what others would ring for; nothing has to be switched, and nothing can be skipped.
        return frozenset({known.own}) if is_away else frozenset()
    if is_away or not known.has_remote_toggle:
        return frozenset()
    return frozenset(_quiet(known, settings))


def _quiet(known: KnownPushers, settings: HandoffSettings) -> Iterable[PusherKey]:
    for pusher in known.pushers:
        if pusher.kind != "http" or pusher.key in known.left_alone:
            continue
        is_fallback = settings.mode == "switch" and pusher.key == settings.fallback
        if is_fallback or any(is_called(pusher, name) for name in settings.quiet):
            yield pusher.key


def _is_ours_to_enable(pusher: Pusher, known: KnownPushers, should_be_off: frozenset[PusherKey]) -> bool:
    return pusher.key in known.switched_off and pusher.key not in should_be_off and not pusher.is_enabled


def _is_to_be_disabled(pusher: Pusher, known: KnownPushers, should_be_off: frozenset[PusherKey]) -> bool:
    # It was off as we wanted and is on again: another client did that, and we do not fight over it.
    is_theirs = pusher.key in known.seen_off and pusher.key in known.switched_off
    return pusher.key in should_be_off and pusher.is_enabled and not is_theirs


def _is_covered(known: KnownPushers, settings: HandoffSettings) -> bool:
    """Whether something else rings while the user is away."""
    if settings.while_away == "ring":
        return False
    return any(each.kind == "http" and (each.is_enabled or each.key in known.switched_off) for each in known.pushers)
