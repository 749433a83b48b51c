"""Decides when an access token is renewed, and how long a poll may be that it serves. All times are seconds."""

from __future__ import annotations

LEFT_AT_RENEWAL_S = 90.0
POLL_MARGIN_S = 15.0
"""A poll ends by so much before its token: a relay asks the homeserver more with the same token."""
SHORTEST_POLL_S = 1.0
"""Polls that return at once would follow one another without a pause."""
LEFT_FOR_HANDOFF_S = 60.0
"""A phone is switched off only with so much left, and on again when less is left."""
FIRST_REFUSALS = 10
FIRST_REFUSAL_STEP_S = 61.0
LATER_REFUSAL_STEPS_S = (120.0, 300.0, 600.0)


def renewal_age(life_s: float, jitter: float) -> float:
    """The age at which the daemon renews a token of this life: half of the life, or up to a tenth of the life later by
    `jitter` in [0, 1), and at least 90 s before the end if the life is 180 s or more."""
    age = life_s / 2 * (1 + jitter / 5)
    return min(age, life_s - LEFT_AT_RENEWAL_S) if life_s >= 2 * LEFT_AT_RENEWAL_S else age


def suffices(left_s: float, life_s: float, least_left_s: float) -> bool:
    """True if a token that lives for another `left_s` is good enough for who wants it to live for `least_left_s`. In
    the first half of its life it always is: the next one would not live much longer."""
    return left_s > min(least_left_s, life_s / 2)


def longest_poll(poll_s: float, left_s: float, life_s: float) -> float:
    """How long a poll may last that is to end before its token, which lives for another `left_s` of `life_s`; never
    longer than `poll_s`. The margin is 15 s, or a quarter of a short life."""
    return min(poll_s, max(left_s - min(POLL_MARGIN_S, life_s / 4), SHORTEST_POLL_S))


def handoff_left(life_s: float) -> float:
    """With how much of its life left a token that nobody renews has to hand the ringing over, while it can: a minute,
    or a quarter of a short life. By then it ought to have been renewed for long (`renewal_age`)."""
    return min(LEFT_FOR_HANDOFF_S, life_s / 4)


def age_by_wall_clock(now_ms: int, born_ms: int, life_s: float) -> float:
    """The age of a token that another process got at `born_ms`, both in milliseconds since 1970.

    The clock may have been set meanwhile. A token from the future counts as dead, which costs a renewal and no more;
    one that is dead in truth is found out by the homeserver's 401.
    """
    return (now_ms - born_ms) / 1000 if now_ms >= born_ms else life_s


def wait_after_refusals(refusals: int) -> float:
    """How long no token is renewed after so many fresh tokens in a row were refused with 401, from the latest on.

    That is how an account looks that is locked, or a device that was removed at the homeserver: only a token that is
    newer than the unlocking finds out, since Synapse remembers a refusal for two minutes. So it is tried each minute at
    first, which is about once a poll and ten times in ten minutes; a lock that lasts is asked about less and less.
    Test: test_a_lock_of_ten_minutes_costs_ten_renewals.
    """
    later = refusals - FIRST_REFUSALS - 1
    return FIRST_REFUSAL_STEP_S if later < 0 else LATER_REFUSAL_STEPS_S[min(later, len(LATER_REFUSAL_STEPS_S) - 1)]
