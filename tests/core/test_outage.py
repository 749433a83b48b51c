"""When it is told that nothing comes from the homeserver, and what."""

from __future__ import annotations

import pytest

from heliograph.core.outage import PATIENCE_S, Cause, Outage, word_disk, word_outage


def take(outage: Outage, now_s: float, cause: Cause = Cause.UNREACHABLE, *, is_network_up: bool = True) -> bool:
    return outage.take(cause, now_s, is_network_up=is_network_up)


def test_an_outage_is_told_once_after_a_quarter_of_an_hour_whatever_its_reasons() -> None:
    outage = Outage(0)
    assert not take(outage, PATIENCE_S - 1)
    assert take(outage, PATIENCE_S, Cause.BUSY)
    assert not any(
        take(outage, PATIENCE_S + hour * 3600, cause) for hour, cause in enumerate((Cause.BUSY, Cause.FAULT))
    )


def test_a_poll_that_works_begins_anew() -> None:
    outage = Outage(0)
    assert take(outage, PATIENCE_S)
    outage.end(2 * PATIENCE_S)
    assert not take(outage, 3 * PATIENCE_S - 1)
    assert take(outage, 3 * PATIENCE_S)


def test_time_without_a_network_does_not_count() -> None:
    outage = Outage(0)
    assert not take(outage, 10 * PATIENCE_S, is_network_up=False)
    assert not take(outage, 11 * PATIENCE_S - 1)
    assert take(outage, 11 * PATIENCE_S)


@pytest.mark.parametrize("cause", [Cause.LOCKED, Cause.TOKEN_REFUSED])
def test_a_lock_is_told_at_once_also_in_the_midst_of_an_outage_and_once(cause: Cause) -> None:
    assert take(Outage(0), 1, cause)
    outage = Outage(0)
    assert take(outage, PATIENCE_S)
    assert take(outage, PATIENCE_S + 1, cause)
    assert not take(outage, PATIENCE_S + 2, cause)
    assert not take(outage, 3 * PATIENCE_S)


@pytest.mark.parametrize("cause", Cause)
def test_every_reason_says_which_homeserver_and_what_to_do(cause: Cause) -> None:
    title, hint = word_outage(cause, "example.org", "answered HTTP 502")
    assert "example.org" in title
    assert any(advice in hint for advice in ("sk whoever runs", "report"))
    assert ("HTTP 502" in hint) is (cause not in (Cause.LOCKED, Cause.TOKEN_REFUSED, Cause.STALE, Cause.FAULT))


def test_no_two_reasons_read_the_same() -> None:
    assert len({word_outage(cause, "example.org", "said") for cause in Cause}) == len(Cause)


def test_a_disk_that_takes_nothing_says_why() -> None:
    assert word_disk("no space left") == (
        "Heliograph cannot write to disk",
        "Free some space or mend the disk: no space left.",
    )
