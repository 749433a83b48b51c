"""A few hundred malformed things about trust, other ones in every run. The module beside this one tries any number."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edges.encryption.hostile_trust import bombard


@pytest.mark.expected_log("The other device has not signed this one", times=(1, None))
@pytest.mark.expected_log("Passed over a secret that nobody was asked for", times=(1, None))
@pytest.mark.expected_log("The verified device sent a key that is not that of the key backup", times=(1, None))
async def test_nothing_that_is_sent_or_stored_raises_or_earns_trust(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    tally = await bombard(tmp_path, 200, seed)
    assert sum(tally.outcomes.values()) >= 1000
