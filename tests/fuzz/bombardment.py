"""`tests/fuzz/run`."""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
import traceback
from typing import Any

from hypothesis import HealthCheck, given, seed, settings

from fuzz.targets import TARGETS, Target

ROUND = 2000
"""Inputs between two looks at the clock; a bug is made small within a round."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Throws made-up input at every place where strangers' bytes come in.")
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="to do it again")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; none: all")
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    names = options.targets or list(TARGETS)
    print(f"seed {options.seed}")
    found = [name for name in names if not bombard(name, TARGETS[name], options.seconds / len(names), options.seed)]
    return 1 if found else 0


def bombard(name: str, target: Target, seconds: float, first_seed: int) -> bool:
    """Whether it held. Prints how many inputs that were, and the longest time for one."""
    end = time.monotonic() + seconds
    count, slowest_s, number = 0, 0.0, first_seed
    while time.monotonic() < end:

        @seed(number)
        @given(target.inputs)
        @settings(max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def attack(thing: Any) -> None:
            nonlocal count, slowest_s
            # What Hypothesis leaves behind must not count as ours.
            gc.disable()
            start = time.thread_time()
            target.attack(thing)
            slowest_s = max(slowest_s, time.thread_time() - start)
            gc.enable()
            count += 1

        try:
            attack()
        except Exception:
            print(f"{name}: a bug, with --seed {first_seed}, round {number - first_seed}")
            traceback.print_exc()
            return False
        number += 1
    print(f"{name}: {count} inputs held, the slowest took {1000 * slowest_s:.1f} ms of CPU")
    return True


if __name__ == "__main__":
    sys.exit(main())
