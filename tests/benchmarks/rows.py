"""What is measured: the rows of the report by section, what each figure means, and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Figures = Mapping[str, float]
Table = Mapping[str, Figures]
"""By contestant."""

US = "heliograph"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. The ratio is to `base`, of which our figure may be at most `times` as much; or `at_most` in all."""

    figure: str
    what: str
    meaning: str
    unit: str = "ms"
    at_most: float | None = None
    times: float | None = None
    base: str = ""
    """The figure that the ratio is to: "peer:figure", or "figure" of our own; empty: this figure of the first peer."""

    def ratio(self, table: Table, peers: tuple[str, ...]) -> float | None:
        """Of our figure to the base. None: one of them was not measured."""
        if not self.base and not peers:
            return None
        name, _, figure = (self.base or f"{peers[0]}:{self.figure}").rpartition(":")
        base, own = table.get(name or US, {}).get(figure), table.get(US, {}).get(self.figure)
        return own / base if base and own is not None else None

    def is_reached(self, table: Table, peers: tuple[str, ...]) -> bool | None:
        """None: nothing is aimed at, or it was not measured."""
        if self.times is not None:
            ratio = self.ratio(table, peers)
            return None if ratio is None else ratio <= self.times
        own = table.get(US, {}).get(self.figure)
        return None if self.at_most is None or own is None else own <= self.at_most


@dataclass(frozen=True, slots=True)
class Section:
    """What is measured in one go, on one homeserver. `peers`: beside whom; the first is what ratios are to."""

    name: str
    title: str
    text: str
    peers: tuple[str, ...]
    rows: tuple[Row, ...]


MESSAGES = Section(
    "messages",
    "One message, and none",
    "Beside a floor (a bare `/sync` loop straight to Notify, without store, rules and bounds) and beside"
    " matrix-commander, in turn on one Synapse, one message at a time.",
    ("floor", "matrix-commander"),
    (
        Row(
            "notify_p50_ms",
            "message sent to notification, p50",
            "from the start of the sender's PUT to the arrival of Notify at the notification server; median",
            times=1.15,
        ),
        Row("notify_p99_ms", "message sent to notification, p99", "the same way; 99th percentile", times=1.5),
        Row("notify_lost", "messages lost", "messages for which no Notify came within 10 s", unit="", at_most=0),
        Row(
            "cpu_ms_per_message",
            "CPU for each message",
            "user and system time of all threads, polls included, divided by the number of messages",
            at_most=2,
        ),
        Row(
            "hops_per_message",
            "hops into SQLite's thread for each message",
            "how often work was handed to that thread, divided by the number of messages, of which one came at a time",
            unit="",
            at_most=1,
        ),
        Row(
            "commits_per_message",
            "transactions that write for each message",
            "the same way; each waits once until its data are on disk (fsync)",
            unit="",
            at_most=1,
        ),
        Row("idle_rss_mb", "memory when idle", "VmRSS after the warm-up and an idle time", unit="MiB", at_most=58),
        Row("rss_after_messages_mb", "memory after the messages", "VmRSS when all messages have come", unit="MiB"),
        Row(
            "idle_wakeups_per_hour",
            "wake-ups in an idle hour",
            "how often some thread left a wait: runs of samples, ten a second, scaled from the idle time to an hour",
            unit="",
            at_most=130,
        ),
        Row(
            "idle_switches_per_hour",
            "context switches in an idle hour",
            "voluntary context switches of all threads, scaled to an hour",
            unit="",
        ),
        Row("idle_cpu_ms_per_hour", "CPU in an idle hour", "user and system time, scaled to an hour"),
    ),
)
STARTS = Section(
    "starts",
    "Starting, and catching up",
    "Beside the floor, for an account with one room and one with many; and what a catch-up costs the event loop.",
    ("floor",),
    (
        Row(
            "first_start_few_s",
            "first start, one room",
            "from exec until it is connected and events ring, with no state on disk; median",
            unit="s",
        ),
        Row(
            "first_start_many_s",
            "first start, many rooms",
            "the same way; the ratio is to one room",
            unit="s",
            times=1.3,
            base="first_start_few_s",
        ),
        Row(
            "later_start_few_s",
            "later start, one room",
            "the same way, with the state that the first start left",
            unit="s",
        ),
        Row(
            "later_start_many_s",
            "later start, many rooms",
            "the same way; the ratio is to one room",
            unit="s",
            times=1.3,
            base="later_start_few_s",
        ),
        Row(
            "catch_up_events",
            "events caught up with",
            "messages that came in the many rooms while it did not run",
            unit="",
        ),
        Row(
            "catch_up_longest_block_ms",
            "longest block of the event loop",
            "while catching up: the longest time between two runs of a task that wants to run each millisecond",
            at_most=50,
        ),
        Row(
            "catch_up_longest_block_cpu_ms",
            "the same in CPU time",
            "in CPU time of the loop's thread, so without what other programs took",
        ),
        Row(
            "start_alone_longest_block_ms",
            "the same at a start with nothing missed",
            "the longest time between two runs of that task",
        ),
        Row(
            "catch_up_cpu_ms",
            "CPU for start and catch-up",
            "user and system time until nothing more is to be caught up with",
        ),
        Row("catch_up_rss_mb", "memory after it", "VmRSS when nothing more is to be caught up with", unit="MiB"),
    ),
)
ACTIONS = Section(
    "actions",
    "Clicks, and what is read elsewhere",
    "The notification server is the one that measures, so this is what the user sees.",
    (),
    (
        Row(
            "click_closed_p50_ms",
            "click to the end of the popup, p50",
            "from a click on Mark as read to the order that closes the popup; median",
        ),
        Row("click_closed_p99_ms", "click to the end of the popup, p99", "the same way; 99th percentile", at_most=100),
        Row(
            "click_done_p50_ms",
            "click to the user's other client, p50",
            "from a click on Mark as read until that client hears of the receipt; median",
        ),
        Row("click_done_p99_ms", "click to the user's other client, p99", "the same way; 99th percentile"),
        Row(
            "withdrawn_p50_ms",
            "read elsewhere to the end of the popup, p50",
            "from the start of the other client's receipt (public, private or threaded) to the order"
            " that closes the popup; median",
        ),
        Row(
            "withdrawn_p99_ms",
            "read elsewhere to the end of the popup, p99",
            "the same way; 99th percentile",
            at_most=1000,
        ),
    ),
)
FLOOD = Section(
    "flood",
    "A thousand notifications in a minute",
    "Messages with a sound in five rooms, as fast as that.",
    (),
    (
        Row("flood_messages", "messages sent", "messages that were sent in the time below", unit=""),
        Row("flood_s", "within", "the time from the first message to the last", unit="s"),
        Row("flood_lost", "messages never on screen", "messages that were sent and never shown", unit="", at_most=0),
        Row(
            "flood_p50_ms",
            "message sent to notification, p50",
            "from the start of the sender's PUT to the arrival of Notify; median",
        ),
        Row("flood_p99_ms", "message sent to notification, p99", "the same way; 99th percentile", at_most=2500),
        Row(
            "flood_longest_block_ms",
            "longest block of the event loop",
            "the longest time between two runs of such a task",
            at_most=50,
        ),
        Row(
            "flood_sounds_per_fold",
            "sounds in each two seconds",
            "notifications with a sound, divided by the number of spans of two seconds in that time",
            unit="",
            at_most=1.1,
        ),
        Row(
            "flood_rss_grows_mb",
            "memory it grows by",
            "VmRSS after the flood, less VmRSS after the first ten messages",
            unit="MiB",
            at_most=10,
        ),
    ),
)
RELAY = Section(
    "relay",
    "The relay",
    "Beside the homeserver itself, in turn; the ratio is to that.",
    ("homeserver",),
    (
        Row(
            "sync_p50_ms",
            "/sync, p50",
            "GET /sync of a direct device, with nothing new and a timeout of 0; median",
        ),
        Row("sync_p99_ms", "/sync, p99", "the same way; 99th percentile"),
        Row("sync_adds_p50_ms", "what the relay adds to it, p50", "the difference of the two medians", at_most=3),
        Row(
            "sync_adds_p99_ms",
            "what the relay adds to it, p99",
            "the difference of the two 99th percentiles",
            at_most=8,
        ),
        Row(
            "push_p50_ms",
            "message sent to push gateway, p50",
            "from the start of the sender's PUT to the arrival at the gateway, for a user who is away; median",
        ),
        Row("push_adds_ms", "what the relay adds to it", "the difference of the two medians", at_most=10),
        Row("idle_rss_mb", "memory of the relay when idle", "VmRSS before the long polls", unit="MiB"),
        Row("long_polls", "long polls at once", "requests for /sync of direct devices that wait", unit=""),
        Row("long_polls_rss_mb", "memory of the relay with them", "VmRSS while they wait", unit="MiB", at_most=120),
    ),
)
LOAD = Section(
    "load",
    "The relay under load",
    "Beside its own former ways, in turn: a commit for each change, all that is old forgotten in one transaction, every"
    " pusher parsed at the start, and a walk over all users.",
    ("former",),
    (
        Row(
            "push_each_ms",
            "each of many pushes",
            "from the first of some thousands that the homeserver sends, ten at a time to forty phones, to the last"
            " that arrives; divided by their number, best round",
            times=0.5,
        ),
        Row(
            "quiet_wait_ms",
            "longest wait of a push beside a million old ones",
            "the time until it is on disk, a push each 5 ms for ten seconds; the machine's own delays show here",
        ),
        Row(
            "forget_wait_ms",
            "longest wait of a push while these are forgotten",
            "the same way, while as many pushes and settled events of two days ago are deleted",
            at_most=50,
        ),
        Row(
            "users_start_s",
            "start with 10,000 users",
            "CPU time to open the database and load two phones and a desktop of each",
            unit="s",
        ),
        Row("users_rss_mb", "memory for them", "what VmRSS grows by", unit="MiB"),
        Row(
            "users_name_ms",
            "who else has a pusher of a name",
            "the time to find that out among them, as whenever a pusher is set; median",
        ),
    ),
)
ENCRYPTION = Section(
    "encryption",
    "Encrypted messages",
    "Beside vodozemac alone: decrypted by a session in memory, nothing else.",
    ("vodozemac",),
    (
        Row(
            "decrypt_judge_ms",
            "decrypt and judge, each of a catch-up",
            "reading the key from the store, decrypting, checking and applying the rules; best round",
        ),
        Row("decrypt_adds_ms", "what is more than vodozemac", "the difference of the two", at_most=0.15),
        Row(
            "decrypt_judge_single_ms",
            "decrypt and judge, one by one",
            "the same for messages that come one at a time, each committed to disk; best round",
        ),
        Row(
            "big_store_open_ms",
            "opening a store of years",
            "a crypto.db with 10,000 room keys and 5,000 devices, in a new process that has the cryptography loaded;"
            " median",
            at_most=100,
        ),
        Row(
            "big_store_rss_mb",
            "memory of the daemon with it",
            "VmRSS after 20 encrypted messages with a new key each",
            unit="MiB",
            at_most=70,
        ),
        Row(
            "small_store_rss_mb",
            "memory of the daemon with a new store",
            "VmRSS after the same 20 messages",
            unit="MiB",
        ),
    ),
)
RULES = Section(
    "rules",
    "Push rules",
    "Beside Synapse's own evaluator (Rust): all that either needs for one event, on the same events in turn.",
    ("synapse",),
    (
        Row("rules_us", "ordinary event, default rules", "the time for each event; best round", unit="µs", times=1),
        Row(
            "rules_keywords_us",
            "with twenty keywords that have wildcards",
            "the time for each of the same events",
            unit="µs",
            times=0.002,
        ),
        Row(
            "rules_keywords_us",
            "the same, to Synapse without keywords",
            "the same figure; the ratio is to Synapse's time for the default rules",
            unit="µs",
            times=2.5,
            base="synapse:rules_us",
        ),
        Row(
            "rules_worst_ms",
            "worst rules and event",
            "the longest that any of hundreds of hostile pairs of rules and event takes, each with a new event type",
            at_most=5,
        ),
        Row(
            "rules_parse_ms",
            "reading the rules with the keywords",
            "the time that this takes, once whenever the rules change",
        ),
    ),
)
SECTIONS = (MESSAGES, STARTS, ACTIONS, FLOOD, RELAY, LOAD, ENCRYPTION, RULES)
