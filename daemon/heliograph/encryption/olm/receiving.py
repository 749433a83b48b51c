"""Takes to-device events, behind the guard: each is handled alone, and nothing a stranger sends raises.

crypto.db commits before the ledger, and the ledger before the next /sync. After a kill in between the homeserver sends
the same events again: each is known by its hash, and passed over. Test: test_what_was_taken_before_is_passed_over.
"""

from __future__ import annotations

import logging
import sqlite3
from base64 import b64decode
from hashlib import sha256
from typing import Any

import vodozemac
from nio.crypto import InboundGroupSession  # type: ignore[import-untyped]

from heliograph.core.encryption.values import MEGOLM, OLM, Received, Rejected, RoomKey
from heliograph.core.ids import is_room_id
from heliograph.encryption.olm.guard import guarded
from heliograph.encryption.olm.nio_machine import OlmMachine
from heliograph.encryption.olm.room_keys import RoomKeys
from heliograph.encryption.olm.texts import MAX_EVENT, MalformedContent, key, read_object, table, text

log = logging.getLogger(__name__)

REMEMBERED = 20_000
"""Handled events that are known again. The homeserver repeats only those of the last answer, some hundred."""
REJECTED_KEPT = 100

_ONLY_ENCRYPTED = frozenset({"m.room_key", "m.forwarded_room_key", "m.secret.send", "m.dummy"})
_UNANSWERED = frozenset({"m.room_key_request", "m.dummy", "m.forwarded_room_key"})
"""Room keys are neither given to nor taken from other devices' forwards."""


class Receiver:
    """Handles to-device events within the transaction under way."""

    def __init__(self, db: sqlite3.Connection, olm: OlmMachine, room_keys: RoomKeys) -> None:
        self._db = db
        self._olm = olm
        self._room_keys = room_keys
        self.new_keys: set[RoomKey] = set()
        """Room keys that came and decrypt something nothing did before."""

    def take(self, raw: bytes) -> Received | Rejected | None:
        """Takes one to-device event; None: it was taken before, or brings nothing to tell of."""
        if not self._is_new(raw):
            return None
        seen: dict[str, str] = {}
        try:
            with guarded():
                return self._handle(raw, seen)
        except MalformedContent as problem:
            rejected = Rejected(str(problem), **seen)
            self._note(rejected)
            return rejected

    def _is_new(self, raw: bytes) -> bool:
        digest = sha256(raw).digest()
        return self._db.execute("INSERT OR IGNORE INTO taken (digest) VALUES (?)", (digest,)).rowcount > 0

    def forget_old(self) -> None:
        """Keeps the tables of what was handled and what was rejected from growing."""
        for name, most in (("taken", REMEMBERED), ("rejected", REJECTED_KEPT)):
            self._db.execute(f"DELETE FROM {name} WHERE position <= (SELECT max(position) FROM {name}) - ?", (most,))

    def _note(self, rejected: Rejected) -> None:
        log.info(
            "A to-device event (%.40r from %.80r) came to nothing: %s", rejected.type, rejected.sender, rejected.why
        )
        self._db.execute(
            "INSERT INTO rejected (sender, type, why) VALUES (?, ?, ?)",
            (_plain(rejected.sender), _plain(rejected.type), rejected.why),
        )

    def _handle(self, raw: bytes, seen: dict[str, str]) -> Received | None:
        event = read_object(raw)
        type_ = seen["type"] = text(event, "type")
        sender = seen["sender"] = text(event, "sender")
        content = table(event, "content")
        if type_ == "m.room.encrypted":
            return self._open(sender, content)
        # In clear anyone could send a room key in another's name.
        if type_ in _ONLY_ENCRYPTED:
            raise MalformedContent("it must come encrypted")
        if type_ == "m.room_key.withheld":
            self._take_withheld(sender, content)
            return None
        return None if type_ in _UNANSWERED else Received(type_, sender, content)

    # Inside Olm

    def _open(self, sender: str, content: dict[str, Any]) -> Received | None:
        if content.get("algorithm") != OLM:
            raise MalformedContent("its algorithm is not known")
        sender_key = key(content, "sender_key")
        sealed = table(content, "ciphertext").get(self._olm.curve25519)
        if not isinstance(sealed, dict):
            raise MalformedContent("it is encrypted for another device")
        message = _message(sealed)
        payload = self._olm.decrypt(sender, sender_key, message)
        if not isinstance(payload, dict):
            raise MalformedContent("no Olm session decrypts it, or it is addressed to somebody else")
        return self._handle_decrypted(sender, sender_key, payload)

    def _handle_decrypted(self, sender: str, sender_key: str, payload: dict[str, Any]) -> Received | None:
        type_ = text(payload, "type")
        ed25519 = key(table(payload, "keys"), "ed25519")
        content = table(payload, "content")
        if type_ == "m.room_key":
            self._take_room_key(sender, sender_key, ed25519, content)
            return None
        return None if type_ in _UNANSWERED else Received(type_, sender, content, sender_key, ed25519)

    def _take_room_key(self, sender: str, sender_key: str, ed25519: str, content: dict[str, Any]) -> None:
        if content.get("algorithm") != MEGOLM:
            raise MalformedContent("the room key's algorithm is not known")
        named = _room_key(content)
        session = InboundGroupSession(text(content, "session_key", 1024), ed25519, sender_key, named.room_id)
        # The id is made of the key itself, so nobody can give a key under another's name.
        if session.id != named.session_id:
            raise MalformedContent("the room key is not the one that it says")
        if self._room_keys.add(session, sender, is_from_backup=False):
            self.new_keys.add(named)

    def _take_withheld(self, sender: str, content: dict[str, Any]) -> None:
        code = text(content, "code")
        if code == "m.no_olm":
            return  # It names no room key.
        if content.get("algorithm") != MEGOLM:
            raise MalformedContent("the withheld key's algorithm is not known")
        self._room_keys.withhold(_room_key(content), sender, code)


def _room_key(content: dict[str, Any]) -> RoomKey:
    room_id = text(content, "room_id")
    if not is_room_id(room_id):
        raise MalformedContent("the room of the key is none")
    return RoomKey(room_id, key(content, "session_id"))


def _message(sealed: dict[str, Any]) -> Any:
    body = text(sealed, "body", MAX_EVENT)
    match sealed.get("type"):
        case 0:
            return vodozemac.PreKeyMessage.from_base64(body)
        case 1:
            return vodozemac.AnyOlmMessage.normal(b64decode(body + "=" * (-len(body) % 4)))
    raise MalformedContent("its Olm message type is not known")


def _plain(value: str) -> str:
    return value.encode(errors="replace").decode()
