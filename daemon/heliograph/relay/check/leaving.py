"""What `heliograph relay leave` would do, told before anything is done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from heliograph.core.finding import Finding, doubtful, good
from heliograph.core.text.clean import clean_line, count_things
from heliograph.errors import StateError, StorageError
from heliograph.relay.model.leaving import Obstacle, obstacle_of
from heliograph.relay.store.sqlite.overview import read_twins
from heliograph.relay.store.sqlite.store import DATABASE_NAME

MOST_NAMED = 5


async def look_at_leaving(folder: Path, now_ms: int, *, is_gateway_only: bool) -> Finding:
    """How many pushers would be put back, and which could not be. `folder` has relay.db; `now_ms`: ms since 1970."""
    try:
        kept = await read_twins(folder, now_ms)
    except (OSError, StateError, StorageError) as error:
        return doubtful(
            f"What leaving would do was not looked at: {DATABASE_NAME} cannot be read in {folder} ({error}).",
            "Call this as root on the relay's machine, or say where the file is: --state DIR",
        )
    if not kept:
        return good("Leaving would put nothing back: no phone's pusher leads through the relay.")
    what = f"{count_things(len(kept), 'pusher')} of {count_things(len({each.twin.user_id for each in kept}), 'user')}"
    if is_gateway_only:
        return good(
            f"{what} lead through the relay. To leave, each user calls heliograph fallback set without --relay."
        )
    stuck: defaultdict[Obstacle, list[str]] = defaultdict(list)
    for each in kept:
        why = obstacle_of(each.twin, is_rejected=each.is_rejected, seen_ms=each.seen_ms, now_ms=now_ms)
        if why is not None:
            stuck[why].append(each.twin.user_id)
    told = f"Leaving would put back {what}, each with the next request of its user"
    if not stuck:
        return good(f"{told}: heliograph relay leave.")
    number = sum(map(len, stuck.values()))
    return doubtful(
        f"{told}. {number} of them could not be:",
        "\n    ".join(_line(why, users) for why, users in stuck.items()),
    )


def _line(why: Obstacle, users: list[str]) -> str:
    line = f"{len(users)} {why}"
    return line if why is Obstacle.UNKNOWN_USER else f"{line} ({_names(set(users))})"


def _names(users: Collection[str]) -> str:
    named = [clean_line(user_id, 255) for user_id in sorted(users)[:MOST_NAMED]]
    more = [f"and {len(users) - MOST_NAMED} more"] if len(users) > MOST_NAMED else []
    return ", ".join([*named, *more])
