"""`tests/soak/run`: plays a day, prints what the daemon held after each hour, and says what leaked."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from secrets import randbits

from soak.day import SHORT, WHOLE, Result, Size, open_day
from soak.sample import MOST_GROWTH, Sample, growth, leaks, write_samples
from support.buses import PrivateBus
from support.log_guard import watching


async def play(size: Size, folder: Path, bus: str, seed: int) -> tuple[Result, list[str]]:
    """What the day came to, and what the daemon warned of beside what a day brings."""
    with watching() as guard:
        async with open_day(size, folder, bus, seed) as day:
            result = await day.play(_tell)
        return result, guard.complaints()


def _tell(sample: Sample) -> None:
    print(f"  hour {sample.hour:g}: {sample.events} events, {sample.rss_mb:.1f} MiB", flush=True)


def report(result: Result, complaints: Sequence[str], seed: int) -> tuple[str, Sequence[str]]:
    """What to print, and what is wrong."""
    wrong = [*leaks(result.samples, result.pruned, open_deliveries=result.open_deliveries, rooms=result.rooms)]
    if result.lost:
        wrong.append(f"{len(result.lost)} of {result.rang} events were lost, {result.lost[0]} first")
    if complaints:
        wrong.append(f"the daemon warned {len(complaints)} times, first: {complaints[0]}")
    if result.let_sleep < result.suspends:
        wrong.append(f"{result.suspends - result.let_sleep} suspends were held up for five seconds")
    if growth(result.samples) > MOST_GROWTH:
        wrong.append(f"RSS grew {growth(result.samples):.2f}-fold, at most {MOST_GROWTH} is aimed at")
    last = result.samples[-1]
    lines = [
        write_samples([*result.samples, result.pruned]),
        "",
        f"Seed {seed}; {result.took_s / 60:.1f} min, {result.syncs:,} syncs, {last.events:,} events of which"
        f" {result.rang:,} ring, {result.suspends} suspends, {result.restarts} restarts of the homeserver.",
        f"RSS {result.samples[0].rss_mb:.1f} MiB after the first hour, {last.rss_mb:.1f} at the end:"
        f" {growth(result.samples):.3f}-fold.",
        f"Rows at the end: {', '.join(f'{name} {count:,}' for name, count in last.rows.items())}.",
        f"Three days later: {', '.join(f'{name} {count:,}' for name, count in result.pruned.rows.items())}.",
    ]
    lines.extend(f"WRONG: {sentence}." for sentence in wrong)
    return "\n".join(lines), wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/soak/run", description="A day of the daemon in some minutes.")
    parser.add_argument("--short", action="store_true", help="two hours, as the tests do it")
    parser.add_argument("--seed", type=int, default=None, help="of a run that is to be repeated")
    parser.add_argument("--json", type=Path, help="where all figures go")
    words = parser.parse_args()
    seed = randbits(32) if words.seed is None else words.seed
    print(f"seed {seed}", flush=True)
    with PrivateBus() as bus, tempfile.TemporaryDirectory(prefix="heliograph-soak-") as folder:
        result, complaints = asyncio.run(play(SHORT if words.short else WHOLE, Path(folder), bus.address, seed))
    text, wrong = report(result, complaints, seed)
    print("\n" + text)
    if words.json is not None:
        words.json.write_text(json.dumps(asdict(result), indent=2) + "\n")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
