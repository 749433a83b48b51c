"""Malformed verification events, secrets, backed-up keys and published keys, and what trust makes of them.

    PYTHONPATH=tests python -m edges.encryption.hostile_trust COUNT [SEED]

tries as many of each kind and tells what became of them. It fails if one raises, costs over 20 ms of processor time, or
brings about a trust that nobody earned.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vodozemac

from edges.encryption.hostile_events import Tally, timed
from edges.encryption.spoiler import Spoiler
from fakes.keys import FakeKeys, FakeKeyServer, FakeOwner, FakeVault
from heliograph.core.encryption.trust import Standing
from heliograph.core.encryption.values import MEGOLM, Received, RoomKey
from heliograph.core.encryption.verification import Phase, Verification
from heliograph.core.encryption.verification_events import METHOD, PREFIX, Message, read_request
from heliograph.core.ids import UserId
from heliograph.encryption.identity.cross_signing import PINNED, CrossSigning, read_own_keys
from heliograph.encryption.identity.key_backup import KeyBackup
from heliograph.encryption.identity.sas import SasAgreement
from heliograph.encryption.identity.secret_request import REQUEST, SecretRequest
from heliograph.encryption.identity.secret_storage import BACKUP, SecretStorage
from heliograph.encryption.identity.verifications import Verifications
from heliograph.encryption.olm.machine import Machine
from heliograph.encryption.olm.signatures import decode_base64, encode
from heliograph.errors import UserError
from heliograph.ports.homeserver import PublishedKeys
from support.builders import ALICE, ME, ROOM
from support.peers import open_machine, to_device_event

NOW = 1_700_000_000_000
SPOILT = 0.3
"""How much of what the other device says is not what it should be."""
_TYPES = ("request", "ready", "start", "accept", "key", "mac", "done", "cancel", "dance", "", "\0", "key\ud800")


class Faults(logging.Handler):
    """What the loop over verifications had to catch: faults of ours, which are what is looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.caught: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is not None and record.exc_info[1] is not None:
            self.caught.append(record.exc_info[1])


class Fuzzer(Spoiler):
    """Our device, which nobody has verified, and the phone, which the user's identity vouches for and which is mad."""

    def __init__(self, seed: int, machine: Machine, tally: Tally) -> None:
        super().__init__(random.Random(seed))
        self.machine = machine
        self.tally = tally
        self.server = FakeKeyServer()
        self.owner = FakeOwner(self.server)
        self.phone = FakeVault("PHONE")
        self.phone.publish(self.server)
        self.owner.sign("PHONE")
        self.keys = FakeKeys(self.server)
        self.cross_signing = CrossSigning(self.keys, machine)
        self.backup = KeyBackup(self.keys, machine, clock=lambda: self.now)
        self.secret_request = SecretRequest(self.keys, machine, self.backup, make_id=self._make_id)
        self.now = NOW
        self._ids = itertools.count(1)
        self._seen = asyncio.Event()
        self.verifications = Verifications(
            self.keys,
            machine,
            self.cross_signing,
            self.secret_request,
            clock=lambda: self.now,
            make_id=self._make_id,
            sleep=lambda seconds: asyncio.sleep(0),
            on_standing=lambda standing: self._seen.set(),
        )

    def _make_id(self) -> str:
        return f"id{next(self._ids)}"

    # Verification

    async def converse(self) -> int:
        """One verification, in which the phone says things that it should not. How many events it sent."""
        self.now += 1000
        self.server.sent.clear()
        own = await self.cross_signing.own_keys()
        if self.dice.random() < 0.3:
            await self.verifications.ask()
            ((_, _, _, _, asked),) = [each for each in self.server.sent if each[3] == "PHONE"]
            request = read_request(asked, self.now)
            assert request is not None
            phone = self._make(request.transaction_id, own.known)
            messages = phone.ready(request.from_device)
        else:
            self.verifications.want(is_wanted=self.dice.random() < 0.9)
            phone = self._make(self._make_id(), own.known)
            messages = phone.request(("D",), self.now)
        self.server.sent.clear()
        sent = 0
        for _ in range(self.dice.randrange(1, 16)):
            if not messages:
                messages = phone.confirm() if phone.phase is Phase.COMPARING else self._anything(phone)
            for message in messages:
                sent += await self._say(phone, message)
            messages = []
            self._answer(phone)
            await self._settle()
            for _, type_, _, device_id, content in self.server.sent:
                if device_id == "PHONE" and type_.startswith(PREFIX):
                    messages += phone.receive(type_.removeprefix(PREFIX), content)
            self.server.sent.clear()
        self._check(phone)
        self.verifications.cancel(phone.transaction_id)
        await self._settle()
        return sent

    def _make(self, transaction_id: str, known: Any) -> Verification:
        return Verification(transaction_id, self.phone.identity, known, self.now, SasAgreement)

    def _anything(self, phone: Verification) -> list[Message]:
        good = {
            "transaction_id": phone.transaction_id,
            "from_device": "PHONE",
            "methods": [METHOD],
            "timestamp": self.now,
            "method": METHOD,
            "key_agreement_protocols": ["curve25519-hkdf-sha256"],
            "hashes": ["sha256"],
            "message_authentication_codes": ["hkdf-hmac-sha256.v2"],
            "short_authentication_string": ["decimal", "emoji"],
            "key": self.dice.choice([self.key(), "A" * 43]),
            "mac": {self.dice.choice(["ed25519:PHONE", "\ud800", "", "x" * 300]): self.dice.choice(["", self.key()])},
            "keys": self.key(),
        }
        return [Message(PREFIX + self.dice.choice(_TYPES), good, ("D",))]

    async def _say(self, phone: Verification, message: Message) -> int:
        type_, content, sender = message.type, message.content, ME
        if self.dice.random() < SPOILT:
            match self.dice.randrange(6):
                case 0:
                    type_ = PREFIX + self.dice.choice(_TYPES)
                case 1:
                    sender = UserId(self.dice.choice([ALICE, "", "@", ME + "\0"]))
                case 2 | 3 if "key" in content:
                    # Somebody in the middle.
                    content = {**content, "key": SasAgreement().public_key}
                case _:
                    content = self.spoil(dict(content))
        raw = to_device_event(sender, type_, content)
        for _ in range(self.dice.choice([1, 1, 1, 2])):
            await timed(self.tally, self._take(raw))
        view = self.verifications.view(phone.transaction_id)
        self.tally.outcomes[f"verification: {view.phase.value} {view.code}" if view else "verification: none"] += 1
        return 1

    async def _take(self, raw: bytes) -> None:
        """As the sync loop does, until all that follows from it is done."""
        taken = await self.machine.take([raw])
        for outcome in taken.outcomes:
            if isinstance(outcome, Received):
                self.verifications.offer(outcome)
        await self._settle()

    async def _settle(self) -> None:
        self._seen.clear()
        self.verifications.look()
        await self._seen.wait()

    def _answer(self, phone: Verification) -> None:
        view = self.verifications.view(phone.transaction_id)
        if view is not None and view.phase is Phase.COMPARING:
            self.verifications.answer(view.transaction_id, is_same=self.dice.random() < 0.8)

    def _check(self, phone: Verification) -> None:
        view = self.verifications.view(phone.transaction_id)
        if view is not None and view.phase is Phase.DONE:
            assert view.emoji == phone.emoji, "done with different emoji"
            assert view.device_id == "PHONE"

    # Secrets

    async def secret(self) -> None:
        """An answer to our request for the key of the backup, in which something may be wrong."""
        device = (await self.cross_signing.own_keys()).devices["PHONE"]
        await self.secret_request.ask(device)
        request_id = next(each[4]["request_id"] for each in reversed(self.server.sent) if each[1] == REQUEST)
        self.server.sent.clear()
        good = {"secret": encode(self.owner.backup.to_bytes()), "request_id": request_id}
        content = self.spoil(dict(good)) if self.dice.random() < 0.7 else good
        sender, key, ed = ME, device.curve25519, device.ed25519
        match self.dice.randrange(6):
            case 0:
                sender = ALICE
            case 1:
                key = self.dice.choice([self.key(), "", self.machine.identity.curve25519])
            case 2:
                ed = self.dice.choice([self.key(), "", self.machine.identity.ed25519])
        received = Received("m.secret.send", sender, content if isinstance(content, dict) else {}, key, ed)
        was_taken = await timed(self.tally, self.secret_request.take(received))
        is_good = (sender, key, ed) == (ME, device.curve25519, device.ed25519) and _same_key(content, good)
        assert was_taken == is_good, f"taken: {was_taken}, although {content!r}"
        assert (await self.machine.secret(BACKUP) is not None) == was_taken
        await self.machine.keep_secret(BACKUP, None)
        self.tally.outcomes[f"secret: {'taken' if was_taken else 'passed over'}"] += 1

    async def backed_up(self) -> None:
        """A room key from the backup, in which something is wrong."""
        await self.backup.keep(encode(self.owner.backup.to_bytes()))
        session = vodozemac.GroupSession()
        exported = vodozemac.InboundGroupSession(session.session_key).export_at(0)
        assert exported is not None
        content: Any = {
            "algorithm": MEGOLM,
            "sender_key": self.phone.identity.curve25519,
            "sender_claimed_keys": {"ed25519": self.phone.identity.ed25519},
            "session_key": exported.to_base64(),
        }
        key, is_spoilt = RoomKey(ROOM, session.session_id), self.dice.random() < 0.8
        if is_spoilt and self.dice.random() < 0.5:
            content = self.spoil(content)
        self.owner.back_up(key.room_id, key.session_id, content)
        if is_spoilt and self.dice.random() < 0.6:
            entry = self.spoil(self.server.backed_up[key.room_id, key.session_id])
            self.server.backed_up[key.room_id, key.session_id] = entry if isinstance(entry, dict) else {}
        fetched = await timed(self.tally, self.backup.fetch(key))
        was_taken = fetched is not None and await timed(self.tally, self.machine.import_room_key(key, fetched))
        assert was_taken or is_spoilt
        self.server.backed_up.clear()
        self.tally.outcomes[f"backed-up key: {'taken' if was_taken else 'passed over'}"] += 1

    async def storage(self) -> None:
        """Secret storage in which something is wrong, and our own recovery key."""
        kept = dict(self.server.account_data)
        name = self.dice.choice(list(kept))
        self.server.account_data[name] = self._object(kept[name])
        try:
            storage = await timed(self.tally, SecretStorage.find(self.keys))
            await timed(self.tally, storage.unlock_with_recovery_key(self.owner.recovery_key()))
            await timed(self.tally, storage.read(self.dice.choice(list(kept))))
            told = "opened"
        except UserError as error:
            told = error.title
        self.server.account_data = kept
        self.tally.outcomes[f"secret storage: {told}"] += 1

    async def published(self) -> None:
        """Keys of our user, in which something is wrong: no other device becomes verified by that."""
        evil = FakeVault("EVIL")
        devices: dict[str, Any] = {"PHONE": self.server.devices[ME]["PHONE"], "EVIL": evil.device_keys()}
        master, self_signing = self.server.master[ME], self.server.self_signing[ME]
        match self.dice.randrange(4):
            case 0:
                master = self._object(master)
            case 1:
                self_signing = self._object(self_signing)
            case 2:
                devices["EVIL"] = {**self._object(devices["EVIL"]), "signatures": devices["PHONE"]["signatures"]}
            case 3:
                devices["PHONE"] = self._object(devices["PHONE"])
        published = PublishedKeys({ME: devices}, {ME: master}, {ME: self_signing})

        async def read() -> Any:
            return read_own_keys(published, ME)

        own = await timed(self.tally, read())
        assert "EVIL" not in own.signed
        self.tally.outcomes[f"published keys: {len(own.devices)} devices, {len(own.signed)} signed"] += 1

    def _object(self, value: Mapping[str, Any]) -> dict[str, Any]:
        spoilt = self.spoil(dict(value))
        return spoilt if isinstance(spoilt, dict) else {}


def _same_key(content: Any, good: dict[str, str]) -> bool:
    """Spoilt in what does not matter: an unknown property, other base64 of the same bytes, bits that X25519 clamps."""
    if not isinstance(content, dict) or content.get("request_id") != good["request_id"]:
        return False
    try:
        return _public_key(content.get("secret")) == _public_key(good["secret"])
    except ValueError:
        return False


def _public_key(secret: Any) -> str:
    return str(vodozemac.Curve25519SecretKey.from_bytes(decode_base64(secret)).public_key().to_base64())


async def bombard(folder: Path, count: int, seed: int) -> Tally:
    """`count` of each kind. Raises what is raised, which should be nothing."""
    machine = await open_machine(folder / "mine")
    tally = Tally()
    fuzzer = Fuzzer(seed, machine, tally)
    upload = await machine.keys_to_upload(one_time_keys=50, is_fallback_used=False, now_ms=NOW)
    await fuzzer.keys.upload_keys(device_keys=json.loads(json.dumps(upload.device_keys)))
    log, faults = logging.getLogger("heliograph.encryption.identity"), Faults()
    log.addHandler(faults)
    running = asyncio.create_task(fuzzer.verifications.run())
    # As the daemon does.
    gc.freeze()
    try:
        sent = 0
        while sent < count:
            sent += await fuzzer.converse()
            if faults.caught:
                raise faults.caught[0]
        for kind in (fuzzer.secret, fuzzer.backed_up, fuzzer.storage, fuzzer.published):
            for _ in range(count):
                await kind()
        # Nobody was ever verified by all that who did not show the same emoji, and nobody signed us.
        assert await fuzzer.cross_signing.standing() is Standing.UNVERIFIED
        assert await machine.secret(PINNED) in (None, fuzzer.owner.master.public_key)
    finally:
        gc.unfreeze()
        log.removeHandler(faults)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await machine.close()
    return tally


async def _main(count: int, seed: int) -> int:
    logging.getLogger("heliograph").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        tally = await bombard(Path(folder), count, seed)
        took_s = time.perf_counter() - began
    for what, number in sorted(tally.outcomes.items()):
        print(f"{number:8} {what}")
    print(
        f"seed {seed}: {count} of each in {took_s:.0f} s, the slowest {tally.slowest_ms:.1f} ms, {tally.slow} too slow"
    )
    return 0 if tally.slow == 0 else 1


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(asyncio.run(_main(given[0], given[1] if len(given) > 1 else random.SystemRandom().randrange(2**32))))
