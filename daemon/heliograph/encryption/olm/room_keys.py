"""Room keys (inbound Megolm sessions) in crypto.db, found by room and session id alone, and read when they are needed.

https://spec.matrix.org/v1.18/client-server-api/#mmegolmv1aes-sha2: `sender_key` in events is deprecated.

A key belongs to the user who sent it: nobody's devices are tracked for receiving. Whoever has a key may send it on, so
each session has a candidate for each user who sent it, and one from the key backup; a message is read with its own
sender's. Strangers' keys cost memory only while they are used. Those used last are cached; of too many on disk those
never used go first.
Tests: test_events_without_sender_key_and_device_are_decrypted,
test_a_key_that_somebody_else_sent_first_does_not_displace_the_senders_own.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from nio.crypto import InboundGroupSession  # type: ignore[import-untyped]

from heliograph.core.encryption.values import RoomKey
from heliograph.encryption.olm.guard import guarded
from heliograph.encryption.olm.losses import Loss, Losses
from heliograph.encryption.olm.texts import MalformedContent

MOST = 100_000
"""Room keys in all: anyone may send some. Those that never decrypted anything go first, the oldest before."""
MOST_CANDIDATES = 20
"""Users whose copy of one session is kept."""
MOST_INDICES = 200_000
MOST_WITHHELD = 20_000
_CACHED = 500
_BACKUP = ""
"""In place of a sender, for what the key backup brought."""
_PRUNE_EVERY = 200


@dataclass(slots=True)
class Stored:
    """A room key and what is known of its maker."""

    id: int
    session: Any
    """`nio.crypto.InboundGroupSession`."""
    sender: str
    """The user whose device sent it; "" where it came from the key backup."""
    is_from_backup: bool
    is_used: bool


class RoomKeys:
    """All room keys of one device."""

    def __init__(self, db: sqlite3.Connection, pickle_key: str, losses: Losses) -> None:
        self._db = db
        self._losses = losses
        self._pickle_key = pickle_key
        self._cache: OrderedDict[RoomKey, dict[str, Stored]] = OrderedDict()
        self._unreadable: set[RoomKey] = set()
        """The keys that the log has named as unreadable."""
        self._writes = 0

    def find(self, key: RoomKey, sender: str) -> Stored | None:
        """The key as this user sent it, or else as the key backup has it; None: it never came from either, or the disk
        has spoilt it, for which another takes its place."""
        candidates = self._candidates(key)
        return candidates.get(sender) or candidates.get(_BACKUP)

    def has(self, key: RoomKey) -> bool:
        """Whether anybody sent the key."""
        return bool(self._candidates(key))

    def _candidates(self, key: RoomKey) -> dict[str, Stored]:
        known = self._cache.get(key)
        if known is None:
            known = self._read_candidates(key)
            if known:
                self._cache[key] = known
                if len(self._cache) > _CACHED:
                    self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(key)
        return known

    def _read_candidates(self, key: RoomKey) -> dict[str, Stored]:
        rows = self._db.execute(
            "SELECT id, pickle, sender, sender_key, sender_ed25519, is_from_backup, is_used FROM room_keys"
            " WHERE session_id = ? AND room_id = ? ORDER BY id",
            (key.session_id, key.room_id),
        ).fetchall()
        found: dict[str, Stored] = {}
        for row in rows:
            try:
                with guarded():
                    stored = self._read(key, *row)
            except MalformedContent:
                self._losses.note(Loss.ROOM_KEY, f"The room key {key.session_id} of {key.room_id}")
            else:
                found[_BACKUP if stored.is_from_backup else stored.sender] = stored
        return found

    def _read(
        self,
        key: RoomKey,
        id_: int,
        pickle: bytes,
        sender: str,
        sender_key: str,
        sender_ed25519: str,
        is_from_backup: int,
        is_used: int,
    ) -> Stored:
        if not all(isinstance(each, str) for each in (sender, sender_key, sender_ed25519)):
            raise MalformedContent("its maker is of a type that it never has")
        # The keys stand beside the pickle, which holds the ratchet alone.
        session = InboundGroupSession.from_pickle(pickle, sender_ed25519, sender_key, key.room_id, self._pickle_key)
        if session.id != key.session_id:
            raise MalformedContent("it is another one")
        return Stored(id_, session, sender, bool(is_from_backup), bool(is_used))

    def add(self, session: Any, sender: str, *, is_from_backup: bool) -> bool:
        """Takes a key. Returns True if it may decrypt something that nothing did before.

        It becomes its sender's candidate. Whoever sent the same session from an earlier message on betters the others'
        candidates, too: that proves nothing of who wrote, and whose key each is stays as it was.
        """
        key = RoomKey(session.room_id, session.id)
        holder = _BACKUP if is_from_backup else sender
        before = self.find(key, holder)
        begins = None if before is None else before.session.first_known_index
        same = [each for each in self._candidates(key).values() if _is_same(each.session, session)]
        best = min([session, *(each.session for each in same)], key=lambda each: each.first_known_index)
        for each in same:
            if best.first_known_index < each.session.first_known_index:
                each.session = self._copy(best, each.session.sender_key, each.session.ed25519)
                self._update(each)
        own = self._candidates(key).get(holder)
        if own is None:
            kept = session if best is session else self._copy(best, session.sender_key, session.ed25519)
            self._insert(key, kept, sender, is_from_backup=is_from_backup)
        elif all(each is not own for each in same):
            return False
        return begins is None or best.first_known_index < begins

    def _copy(self, session: Any, sender_key: str, sender_ed25519: str) -> Any:
        """The same ratchet as the key of another maker."""
        pickle = session.pickle(self._pickle_key)
        return InboundGroupSession.from_pickle(pickle, sender_ed25519, sender_key, session.room_id, self._pickle_key)

    def use(self, stored: Stored, message_index: int, event_id: str) -> bool:
        """Notes that this event used this place of the session. False: another event did before."""
        # An id that the disk has spoilt names no event, so this one takes its place.
        is_new = self._db.execute(
            "INSERT INTO message_indices (room_key, message_index, event_id) VALUES (?, ?, ?)"
            " ON CONFLICT (room_key, message_index) DO UPDATE SET event_id = excluded.event_id"
            " WHERE typeof(event_id) <> 'text'",
            (stored.id, message_index, event_id),
        ).rowcount
        if not stored.is_used:
            stored.is_used = True
            self._db.execute("UPDATE room_keys SET is_used = 1 WHERE id = ?", (stored.id,))
        if is_new:
            self._count_write()
            return True
        return self.may_use(stored, message_index, event_id)

    def may_use(self, stored: Stored, message_index: int, event_id: str) -> bool:
        """What `use` would say."""
        row = self._db.execute(
            "SELECT event_id FROM message_indices WHERE room_key = ? AND message_index = ?", (stored.id, message_index)
        ).fetchone()
        return row is None or not isinstance(row[0], str) or row[0] == event_id

    def withhold(self, key: RoomKey, sender: str, code: str) -> None:
        """This user told that we shall not have the key."""
        self._db.execute(
            "INSERT OR REPLACE INTO withheld (room_id, session_id, sender, code) VALUES (?, ?, ?, ?)",
            (key.room_id, key.session_id, sender, code),
        )
        self._count_write()

    def withheld(self, key: RoomKey, sender: str) -> str | None:
        """The code with which this user withheld it."""
        row = self._db.execute(
            "SELECT code FROM withheld WHERE session_id = ? AND room_id = ? AND sender = ?",
            (key.session_id, key.room_id, sender),
        ).fetchone()
        return row[0] if row is not None and isinstance(row[0], str) else None

    def _insert(self, key: RoomKey, session: Any, sender: str, *, is_from_backup: bool) -> None:
        named = (key.session_id, key.room_id)
        # A row that cannot be read makes room, and keeps its id: what was read with it cannot be played again.
        self._db.execute(
            "UPDATE OR IGNORE room_keys SET sender = ?"
            " WHERE session_id = ? AND room_id = ? AND typeof(sender) <> 'text'",
            (sender, *named),
        )
        self._db.execute(
            "INSERT INTO room_keys (session_id, room_id, pickle, sender, sender_key, sender_ed25519, is_from_backup)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session_id, room_id, sender) DO UPDATE SET"
            " pickle = excluded.pickle, sender_key = excluded.sender_key, sender_ed25519 = excluded.sender_ed25519,"
            " is_from_backup = excluded.is_from_backup",
            (
                *named,
                session.pickle(self._pickle_key),
                sender,
                session.sender_key,
                session.ed25519,
                is_from_backup,
            ),
        )
        # Used ones come first, so that a crowd that sends a key on forgets nobody's whose messages were read with it.
        self._db.execute(
            "DELETE FROM room_keys WHERE id IN (SELECT id FROM room_keys WHERE session_id = ? AND room_id = ?"
            " ORDER BY is_used DESC, id DESC LIMIT -1 OFFSET ?)",
            (*named, MOST_CANDIDATES),
        )
        self._cache.pop(key, None)
        self._count_write()

    def _update(self, stored: Stored) -> None:
        session = stored.session
        self._db.execute(
            "UPDATE room_keys SET pickle = ?, sender = ?, sender_key = ?, sender_ed25519 = ?, is_from_backup = ?"
            " WHERE id = ?",
            (
                session.pickle(self._pickle_key),
                stored.sender,
                session.sender_key,
                session.ed25519,
                stored.is_from_backup,
                stored.id,
            ),
        )

    def _count_write(self) -> None:
        self._writes += 1
        if self._writes % _PRUNE_EVERY == 0:
            self._prune()

    def _prune(self) -> None:
        doomed = self._db.execute(
            "DELETE FROM room_keys WHERE id IN"
            # LIMIT -1: SQLite takes an OFFSET only behind a LIMIT.
            # Used ones come first, so that the others are beyond it.
            " (SELECT id FROM room_keys ORDER BY is_used DESC, id DESC LIMIT -1 OFFSET ?)"
            " RETURNING room_id, session_id",
            (MOST,),
        ).fetchall()
        for room_id, session_id in doomed:
            self._cache.pop(RoomKey(room_id, session_id), None)
        for table, most in (("message_indices", MOST_INDICES), ("withheld", MOST_WITHHELD)):
            self._db.execute(f"DELETE FROM {table} WHERE position <= (SELECT max(position) FROM {table}) - ?", (most,))


def _is_same(known: Any, other: Any) -> bool:
    """Whether both are the same Megolm session, by the state that they share."""
    # A ratchet goes forward only: both are brought to the later beginning, where the same session has the same state.
    index = max(known.first_known_index, other.first_known_index)
    return bool(known.export_session(index) == other.export_session(index))
