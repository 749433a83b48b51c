"""Malformed to-device events and encrypted events, as strangers may send them, and what the machine makes of them.

    PYTHONPATH=tests python -m edges.encryption.hostile_events COUNT [SEED]

tries as many of each kind and tells what became of them. It fails if one raises, or costs over 20 ms of processor time.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edges.encryption.spoiler import Spoiler
from heliograph.core.encryption.values import MEGOLM, OLM, Clear, Locked, Received, Rejected
from heliograph.core.events import Event
from heliograph.encryption.olm.machine import Machine
from support.builders import ALICE, BOB, ME, make_event
from support.peers import Peer, open_machine

T = TypeVar("T")

MOST_MS = 20.0


@dataclass
class Tally:
    """What became of them."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    slow: int = 0

    def count(self, outcomes: Sequence[Received | Rejected | Clear | Locked | str]) -> None:
        for outcome in outcomes:
            match outcome:
                case Rejected(why=why):
                    self.outcomes[f"rejected: {why}"] += 1
                case Locked(reason=reason):
                    self.outcomes[f"locked: {reason.value}"] += 1
                case str():
                    self.outcomes[outcome] += 1
                case _:
                    self.outcomes[type(outcome).__name__] += 1


class Fuzzer(Spoiler):
    """Makes events out of good ones by spoiling them, and out of nothing."""

    def __init__(self, seed: int, machine: Machine, good: list[bytes], said: list[Event]) -> None:
        super().__init__(random.Random(seed))
        self._machine = machine
        self._good = [json.loads(raw) for raw in good]
        self._said = said

    def to_device(self) -> bytes:
        match self.dice.randrange(6):
            case 0:
                return self.dice.randbytes(self.dice.randrange(200))
            case 1:
                return json.dumps(self.value(0)).encode()
            case 2:
                return self.spoil_bytes(json.dumps(self.dice.choice(self._good)).encode())
            case 3:
                return json.dumps(self._olm()).encode()
            case 4:
                nested = self.dice.choice([b"[", b'{"a":']) * self.dice.choice([63, 65, 1000, 20_000])
                return b'{"type":"m.room.encrypted","sender":"@b:x","content":' + nested
        return json.dumps(self.spoil(self.dice.choice(self._good))).encode()

    def event(self) -> Event:
        if self.dice.random() < 0.5:
            content = self.spoil(dict(self.dice.choice(self._said).content))
        else:
            content = {
                "algorithm": self.dice.choice([MEGOLM, MEGOLM, self.value(0)]),
                "session_id": self.dice.choice([self.key(), self._said[0].content["session_id"], self.value(0)]),
                "ciphertext": self.dice.choice([self.base64(), self.key(), self.value(0)]),
            }
        content = content if isinstance(content, dict) else {}
        return make_event(type="m.room.encrypted", content=content, sender=self.dice.choice([ALICE, BOB, ME]))

    def _olm(self) -> dict[str, Any]:
        """Olm messages for us whose insides are chance."""
        sealed = {"type": self.dice.choice([0, 0, 1, 1, 2, True, "0", None]), "body": self.base64()}
        own = self._machine.identity.curve25519
        content = {
            "algorithm": OLM,
            "sender_key": self.dice.choice([self.key(), "A" * 43, own, self.value(0)]),
            "ciphertext": {own: self.dice.choice([sealed, sealed, sealed, self.value(0)])},
        }
        return {"type": "m.room.encrypted", "sender": self.dice.choice([ALICE, BOB, "?", ""]), "content": content}


async def bombard(folder: Path, count: int, seed: int) -> Tally:
    """`count` events of each kind. Raises what the machine raises, which should be nothing."""
    machine = await open_machine(folder / "mine")
    alice = await Peer.open(folder / "alice")
    tally = Tally()
    try:
        good = await alice.share(machine)
        said = [await alice.say(f"number {number}") for number in range(20)]
        await machine.take(good)
        await machine.decrypt(said)
        good += [await alice.to_device(machine, "m.secret.send", {"secret": str(number)}) for number in range(20)]
        fuzzer = Fuzzer(seed, machine, good, said)
        for _ in range(count):
            raw, event = fuzzer.to_device(), fuzzer.event()
            tally.count([*(await timed(tally, machine.take([raw]))).outcomes] or ["nothing to tell"])
            tally.count(await timed(tally, machine.decrypt([event])))
        # After all that it still works.
        assert all(isinstance(each, Clear) for each in await machine.decrypt(said))
        fresh = await alice.to_device(machine, "m.secret.send", {"secret": "the last"})
        assert isinstance((await machine.take([fresh])).outcomes[0], Received)
    finally:
        await machine.close()
        await alice.machine.close()
    return tally


async def timed(tally: Tally, call: Awaitable[T]) -> T:
    # Of all threads, and not the wall's: other programs and the disk are not what is measured.
    began = time.process_time()
    told = await call
    took_ms = (time.process_time() - began) * 1000
    tally.slow += took_ms > MOST_MS
    tally.slowest_ms = max(tally.slowest_ms, took_ms)
    return told


async def _main(count: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        tally = await bombard(Path(folder), count, seed)
        took_s = time.perf_counter() - began
    for what, number in tally.outcomes.most_common(40):
        print(f"{number:8} {what}")
    print(
        f"seed {seed}: {count} of each in {took_s:.0f} s, the slowest {tally.slowest_ms:.1f} ms, {tally.slow} too slow"
    )
    return 0 if tally.slow == 0 else 1


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(asyncio.run(_main(given[0], given[1] if len(given) > 1 else random.SystemRandom().randrange(2**32))))
