"""A thousand malformed events of each kind, other ones in every run. The module beside this one tries any number."""

from __future__ import annotations

import random
from pathlib import Path

from edges.encryption.hostile_events import bombard


async def test_nothing_that_a_stranger_sends_raises_or_breaks_the_machine(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    tally = await bombard(tmp_path, 1000, seed)
    assert sum(tally.outcomes.values()) == 2000
