"""What each figure means, what is aimed at, and the table."""

from __future__ import annotations

import math
from collections.abc import Mapping

Table = Mapping[str, Mapping[str, float]]

DEFINITIONS = {
    "notify_p50_ms": "start of the sender's PUT to the arrival of Notify at the notification server, median",
    "notify_p99_ms": "the same, 99th percentile",
    "notify_lost": "messages without a Notify within 10 s",
    "cpu_ms_per_message": "user and system time of all threads over the messages, polls included",
    "idle_rss_mb": "VmRSS in MiB after warm-up and an idle time",
    "rss_after_messages_mb": "VmRSS in MiB after the messages",
    "idle_wakeups_per_hour": "bursts: runs of samples (10 a second) in which some thread had left a wait; scaled",
    "idle_switches_per_hour": "voluntary context switches of all threads; scaled",
    "idle_cpu_ms_per_hour": "user and system time; scaled",
    "first_start_few_s": "exec to ready with one room and no state: connected, events will ring; median",
    "first_start_many_s": "the same with many rooms",
    "later_start_few_s": "with the state of the first start",
    "later_start_many_s": "the same with many rooms",
    "catch_up_events": "messages in the many rooms while it did not run",
    "start_alone_longest_block_ms": "longest time between two beats of a 1 ms heart in the event loop; nothing missed",
    "start_alone_longest_block_cpu_ms": "the same in CPU time of the loop's thread: without what others took",
    "catch_up_longest_block_ms": "the same while catching up (time)",
    "catch_up_longest_block_cpu_ms": "the same while catching up (CPU time)",
    "catch_up_cpu_ms": "user and system time from the start until it is quiet again",
    "catch_up_rss_mb": "VmRSS in MiB when it is quiet again",
    "click_closed_p50_ms": "a click on Mark as read to the order that closes the popup, median",
    "click_closed_p99_ms": "the same, 99th percentile",
    "click_done_p50_ms": "a click on Mark as read until the user's other client hears of the receipt, median",
    "click_done_p99_ms": "the same, 99th percentile",
    "withdrawn_p50_ms": "start of the other client's receipt (public, private, threaded, or the read marker) to the "
    "order that closes the popup, median",
    "withdrawn_p99_ms": "the same, 99th percentile",
    "relay_sync_p50_ms": "GET /sync of a direct device through the relay, with nothing new and no timeout, median",
    "relay_sync_p99_ms": "the same, 99th percentile",
    "own_sync_p50_ms": "the same at the homeserver itself, in turn with the above",
    "own_sync_p99_ms": "the same, 99th percentile",
    "relay_adds_p50_ms": "the difference of the medians",
    "relay_adds_p99_ms": "the difference of the 99th percentiles",
    "relay_push_p50_ms": "start of the sender's PUT to the push gateway, for a user who is away, by the relay; median",
    "own_push_p50_ms": "the same by the homeserver itself",
    "relay_push_adds_ms": "the difference",
    "relay_idle_rss_mb": "VmRSS of the relay in MiB before the long-polls",
    "relay_long_polls": "long-polls of a direct device that were pending at once",
    "relay_long_polls_rss_mb": "VmRSS of the relay in MiB with them",
    "decrypt_judge_ms": "an encrypted message decrypted and judged, catching up: store, checks and rules; best round."
    " Of vodozemac: decrypted by a session in memory, nothing else",
    "decrypt_adds_ms": "the difference",
    "decrypt_judge_single_ms": "the same for messages that come one by one, each committed to disk; best round",
    "big_store_open_ms": "opening a crypto.db with 10,000 room keys and 5,000 devices, in a new process that has the "
    "cryptography loaded; median",
    "big_store_rss_mb": "VmRSS in MiB of the daemon with it, after 20 encrypted messages with a new key each",
    "small_store_rss_mb": "the same with a new crypto.db",
    "rules_us": "push rules: microseconds for an ordinary event, default rules, all that it needs for each; best round",
    "rules_keywords_us": "the same with twenty keywords that have wildcards",
    "rules_worst_ms": "the longest that any of hundreds of hostile pairs of rules and event takes, each type new",
    "rules_parse_ms": "reading those rules with the keywords, once when they change",
}

_TARGETS: dict[str, tuple[str, str, float]] = {
    # what: (figure, of what, at most); of another contestant's figure, of one of ours, or of nothing
    "send to Notify, p50": ("notify_p50_ms", "floor", 1.15),
    "send to Notify, p99": ("notify_p99_ms", "floor", 1.5),
    "idle RSS (MiB)": ("idle_rss_mb", "", 58),
    "CPU per message (ms)": ("cpu_ms_per_message", "", 2),
    "first start, many rooms to few": ("first_start_many_s", "first_start_few_s", 1.3),
    "later start, many rooms to few": ("later_start_many_s", "later_start_few_s", 1.3),
    "longest block while catching up (ms)": ("catch_up_longest_block_ms", "", 50),
    "wake-ups in an idle hour": ("idle_wakeups_per_hour", "", 130),
    "click to the end of the popup, p99 (ms)": ("click_closed_p99_ms", "", 100),
    "read elsewhere to the end of the popup, p99 (ms)": ("withdrawn_p99_ms", "", 1000),
    "decrypt and judge, above vodozemac (ms)": ("decrypt_adds_ms", "", 0.15),
    "opening the big crypto.db (ms)": ("big_store_open_ms", "", 100),
    "RSS with the big crypto.db (MiB)": ("big_store_rss_mb", "", 70),
    "push rules to Synapse's evaluator": ("rules_us", "synapse", 1),
    "20 wildcards to its default rules": ("rules_keywords_us", "synapse:rules_us", 2.5),
    "20 wildcards to its 20 wildcards": ("rules_keywords_us", "synapse", 0.002),
    "worst event for the push rules (ms)": ("rules_worst_ms", "", 5),
}
_RELAY_TARGETS: dict[str, tuple[str, float]] = {
    "/sync through the relay, p50 (ms)": ("relay_adds_p50_ms", 3),
    "/sync through the relay, p99 (ms)": ("relay_adds_p99_ms", 8),
    "push through the relay (ms)": ("relay_push_adds_ms", 10),
    "relay with 500 long-polls (MiB)": ("relay_long_polls_rss_mb", 120),
}

_OTHERS = ("floor", "synapse")


def ratios(figures: Table) -> dict[str, dict[str, float]]:
    """What is aimed at, and what was reached in this run: `aim` and `reached`. What has no figures is left out."""
    own = figures.get("heliograph", {})
    reached: dict[str, dict[str, float]] = {}
    for what, (figure, base, aim) in _TARGETS.items():
        name, _, other = base.partition(":")
        divisor = figures.get(name, {}).get(other or figure) if name in _OTHERS else own.get(base) if base else 1.0
        if figure in own and divisor:
            reached[what] = {"aim": aim, "reached": own[figure] / divisor}
    relay = figures.get("relay", {})
    for what, (figure, aim) in _RELAY_TARGETS.items():
        if figure in relay:
            reached[what] = {"aim": aim, "reached": relay[figure]}
    return reached


def write_table(figures: Table, notes: Mapping[str, str]) -> str:
    """Figures in rows, contestants in columns; then what was aimed at."""
    names = list(figures)
    lines = [f"{'':36}" + "".join(f"{name:>18}" for name in names)]
    for figure in DEFINITIONS:
        values = [figures[name].get(figure) for name in names]
        if any(value is not None for value in values):
            lines.append(f"{figure:36}" + "".join(f"{_number(value):>18}" for value in values))
    lines += ["", f"{'heliograph':36}{'reached':>18}{'aim, at most':>18}"]
    for what, pair in ratios(figures).items():
        lines.append(f"{what:36}{_number(pair['reached']):>18}{_number(pair['aim']):>18}")
    lines += ["", *(f"{name}: not measured: {why}" for name, why in notes.items())]
    return "\n".join(lines).rstrip()


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    if 0 < abs(value) < 0.1:
        return f"{value:.4f}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
