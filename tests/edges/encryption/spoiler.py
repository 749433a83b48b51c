"""JSON spoilt by chance: by the thousand, and quicker than Hypothesis makes it."""

from __future__ import annotations

import random
from typing import Any

from support.builders import ME, ROOM

_TYPES = (
    *("m.room.encrypted", "m.room.encrypted", "m.room.encrypted", "m.room_key", "m.room_key.withheld"),
    *("m.forwarded_room_key", "m.room_key_request", "m.dummy", "m.secret.send", "m.key.verification.start", "", "\0"),
)


class Spoiler:
    """Makes bad values out of good ones, and out of nothing."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def spoil(self, value: Any) -> Any:
        """The same with something in it replaced, taken away or added."""
        if isinstance(value, dict) and value and self.dice.random() < 0.8:
            name = self.dice.choice(list(value))
            spoilt = dict(value)
            match self.dice.randrange(8):
                case 0:
                    del spoilt[name]
                case 1:
                    spoilt[str(self.value(2))[:50]] = self.value(0)
                case _:
                    spoilt[name] = self.spoil(value[name])
            return spoilt
        if isinstance(value, str) and value and self.dice.random() < 0.7:
            return self._spoil_text(value)
        if value == "m.room.encrypted" or self.dice.random() < 0.2:
            return self.dice.choice(_TYPES)
        return self.value(0)

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

    def spoil_bytes(self, raw: bytes) -> bytes:
        spoilt = bytearray(raw)
        for _ in range(self.dice.randrange(1, 5)):
            spoilt[self.dice.randrange(len(spoilt))] = self.dice.randrange(256)
        return bytes(spoilt)

    def value(self, depth: int) -> Any:
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
                return self.key()
            case 5:
                return self.base64()
            case 6:
                return "x" * self.dice.choice([1, 255, 256, 70_000])
            case 7:
                return self.dice.choice(
                    ["m.megolm.v1.aes-sha2", "m.olm.v1.curve25519-aes-sha2", ROOM, ME, "\0\ud800\n"]
                )
            case 8:
                return [self.value(depth + 1) for _ in range(self.dice.randrange(4))]
        names = ("type", "sender", "content", "algorithm", "ciphertext", "session_id", "session_key", "keys", "body")
        return {self.dice.choice(names): self.value(depth + 1) for _ in range(self.dice.randrange(5))}

    def key(self) -> str:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        return "".join(self.dice.choices(alphabet, k=43))

    def base64(self) -> str:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        return "".join(self.dice.choices(alphabet, k=self.dice.choice([0, 1, 4, 200, 305, 306, 307, 4000, 60_000])))
