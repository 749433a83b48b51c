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

from builders import ALICE, BOB, ME, ROOM, make_event
from heliograph.core.encryption import MEGOLM, OLM, Clear, Locked, Received, Rejected
from heliograph.core.events import Event
from heliograph.encryption.machine import Machine
from peers import Peer, open_machine

T = TypeVar("T")

MOST_MS = 20.0
_TYPES = (
    *("m.room.encrypted", "m.room.encrypted", "m.room.encrypted", "m.room_key", "m.room_key.withheld"),
    *("m.forwarded_room_key", "m.room_key_request", "m.dummy", "m.secret.send", "m.key.verification.start", "", "\0"),
)


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


class Fuzzer:
    """Makes events out of good ones by spoiling them, and out of nothing."""

    def __init__(self, seed: int, machine: Machine, good: list[bytes], said: list[Event]) -> None:
        self.dice = random.Random(seed)
        self._machine = machine
        self._good = [json.loads(raw) for raw in good]
        self._said = said

    def to_device(self) -> bytes:
        match self.dice.randrange(6):
            case 0:
                return self.dice.randbytes(self.dice.randrange(200))
            case 1:
                return json.dumps(self._value(0)).encode()
            case 2:
                return self._spoil_bytes(json.dumps(self.dice.choice(self._good)).encode())
            case 3:
                return json.dumps(self._olm()).encode()
            case 4:
                nested = self.dice.choice([b"[", b'{"a":']) * self.dice.choice([63, 65, 1000, 20_000])
                return b'{"type":"m.room.encrypted","sender":"@b:x","content":' + nested
        return json.dumps(self._spoil(self.dice.choice(self._good))).encode()

    def event(self) -> Event:
        if self.dice.random() < 0.5:
            content = self._spoil(dict(self.dice.choice(self._said).content))
        else:
            content = {
                "algorithm": self.dice.choice([MEGOLM, MEGOLM, self._value(0)]),
                "session_id": self.dice.choice([self._key(), self._said[0].content["session_id"], self._value(0)]),
                "ciphertext": self.dice.choice([self._base64(), self._key(), self._value(0)]),
            }
        content = content if isinstance(content, dict) else {}
        return make_event(type="m.room.encrypted", content=content, sender=self.dice.choice([ALICE, BOB, ME]))

    def _olm(self) -> dict[str, Any]:
        """Olm messages for us whose insides are chance."""
        sealed = {"type": self.dice.choice([0, 0, 1, 1, 2, True, "0", None]), "body": self._base64()}
        own = self._machine.identity.curve25519
        content = {
            "algorithm": OLM,
            "sender_key": self.dice.choice([self._key(), "A" * 43, own, self._value(0)]),
            "ciphertext": {own: self.dice.choice([sealed, sealed, sealed, self._value(0)])},
        }
        return {"type": "m.room.encrypted", "sender": self.dice.choice([ALICE, BOB, "?", ""]), "content": content}

    def _spoil(self, value: Any) -> Any:
        """The same with something in it replaced, taken away or added."""
        if isinstance(value, dict) and value and self.dice.random() < 0.8:
            name = self.dice.choice(list(value))
            spoilt = dict(value)
            match self.dice.randrange(8):
                case 0:
                    del spoilt[name]
                case 1:
                    spoilt[str(self._value(2))[:50]] = self._value(0)
                case _:
                    spoilt[name] = self._spoil(value[name])
            return spoilt
        if isinstance(value, str) and value and self.dice.random() < 0.7:
            return self._spoil_text(value)
        if value == "m.room.encrypted" or self.dice.random() < 0.2:
            return self.dice.choice(_TYPES)
        return self._value(0)

    def _spoil_text(self, text: str) -> str:
        place = self.dice.randrange(len(text))
        match self.dice.randrange(4):
            case 0:
                return text[:place]
            case 1:
                return text * self.dice.choice([2, 100])
            case 2:
                return text[:place] + self.dice.choice("A/+=\0\n\ud800é😀") + text[place + 1 :]
        return text[:place] + text[place:][::-1]

    def _spoil_bytes(self, raw: bytes) -> bytes:
        spoilt = bytearray(raw)
        for _ in range(self.dice.randrange(1, 5)):
            spoilt[self.dice.randrange(len(spoilt))] = self.dice.randrange(256)
        return bytes(spoilt)

    def _value(self, depth: int) -> Any:
        match self.dice.randrange(11 if depth < 3 else 8):
            case 0:
                return None
            case 1:
                return self.dice.choice([True, False])
            case 2:
                return self.dice.choice([0, 1, -1, 2**31, 2**53, 2**64, 10**30, 0.5, 1e300])
            case 3:
                return ""
            case 4:
                return self._key()
            case 5:
                return self._base64()
            case 6:
                return "x" * self.dice.choice([1, 255, 256, 70_000])
            case 7:
                return self.dice.choice(
                    ["m.megolm.v1.aes-sha2", "m.olm.v1.curve25519-aes-sha2", ROOM, ME, "\0\ud800\n"]
                )
            case 8:
                return [self._value(depth + 1) for _ in range(self.dice.randrange(4))]
        names = ("type", "sender", "content", "algorithm", "ciphertext", "session_id", "session_key", "keys", "body")
        return {self.dice.choice(names): self._value(depth + 1) for _ in range(self.dice.randrange(5))}

    def _key(self) -> str:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        return "".join(self.dice.choices(alphabet, k=43))

    def _base64(self) -> str:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        return "".join(self.dice.choices(alphabet, k=self.dice.choice([0, 1, 4, 200, 305, 306, 307, 4000, 60_000])))


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
