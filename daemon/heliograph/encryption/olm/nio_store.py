"""The device's account and its Olm sessions in crypto.db: what matrix-nio's machine asks of its store.

Only its methods that receiving and sending reach; everything is written within the transaction under way. Sessions are
read when a sender needs them, so opening takes the same time whatever their number.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from datetime import datetime
from typing import Any

from nio.crypto import DeviceStore, OlmAccount, Session  # type: ignore[import-untyped]

from heliograph.core.ids import UserId
from heliograph.encryption.olm.guard import guarded
from heliograph.encryption.olm.losses import Loss, Losses
from heliograph.encryption.olm.texts import MalformedContent

EACH = 10
"""Olm sessions kept for one device of another user; those used last. Each is tried for a message that names none."""
MOST = 20_000
"""Olm sessions in all: anyone may begin one."""
_CACHED = 200
_PRUNE_EVERY = 50


class OlmSessions:
    """`nio.crypto.SessionStore` over the table olm_sessions."""

    def __init__(self, db: sqlite3.Connection, pickle_key: str, losses: Losses) -> None:
        self._db = db
        self._losses = losses
        self._pickle_key = pickle_key
        self._cache: OrderedDict[str, list[Any]] = OrderedDict()
        self._added = 0

    def __getitem__(self, sender_key: str) -> list[Any]:
        """The sessions with this device, the one used last first."""
        sessions = self._cache.get(sender_key)
        if sessions is None:
            sessions = self._cache[sender_key] = self._read(sender_key)
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(sender_key)
        return sessions

    def _read(self, sender_key: str) -> list[Any]:
        # All of them, and only then the first few: those that cannot be read go, and take nobody's place.
        rows = self._db.execute(
            "SELECT session_id, pickle, created, used FROM olm_sessions WHERE sender_key = ? ORDER BY used DESC",
            (sender_key,),
        ).fetchall()
        sessions = []
        for session_id, pickle, created, used in rows:
            try:
                with guarded():
                    sessions.append(Session.from_pickle(pickle, _time(created), self._pickle_key, _time(used)))
            except MalformedContent:
                self._db.execute("DELETE FROM olm_sessions WHERE session_id IS ?", (session_id,))
                self._losses.note(Loss.SESSION, f"An Olm session with the device {sender_key}")
        return sessions[:EACH]

    def get(self, sender_key: str) -> Any:
        """The session to encrypt with, or None."""
        sessions = self[sender_key]
        return sessions[0] if sessions else None

    def add(self, sender_key: str, session: Any) -> bool:
        """Puts it first. The oldest of too many is forgotten."""
        sessions = self[sender_key]
        sessions.insert(0, session)
        for old in sessions[EACH:]:
            self._db.execute("DELETE FROM olm_sessions WHERE session_id = ?", (old.id,))
        del sessions[EACH:]
        self._added += 1
        # Not at each: the oldest are found by reading the whole table.
        if self._added % _PRUNE_EVERY == 0:
            self._prune()
        return True

    def save(self, sender_key: str, session: Any) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO olm_sessions (session_id, sender_key, pickle, created, used)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                session.id,
                sender_key,
                session.pickle(self._pickle_key),
                session.creation_time.timestamp(),
                session.use_time.timestamp(),
            ),
        )

    def _prune(self) -> None:
        doomed = self._db.execute(
            "DELETE FROM olm_sessions WHERE session_id IN"
            # LIMIT -1: SQLite takes an OFFSET only behind a LIMIT.
            " (SELECT session_id FROM olm_sessions ORDER BY used DESC LIMIT -1 OFFSET ?) RETURNING sender_key",
            (MOST,),
        ).fetchall()
        for (sender_key,) in doomed:
            self._cache.pop(sender_key, None)


class OlmStore:
    """`nio.store.MatrixStore`, as far as it is used. The account is written when `flush` is called."""

    def __init__(
        self, db: sqlite3.Connection, user_id: UserId, device_id: str, pickle_key: str, losses: Losses
    ) -> None:
        self._db = db
        self._user_id = user_id
        self._device_id = device_id
        self._pickle_key = pickle_key
        self._unsaved: Any = None
        self.sessions = OlmSessions(db, pickle_key, losses)

    def load_account(self) -> Any:
        """The device's Olm account; None: the device has no keys yet."""
        row = self._db.execute("SELECT account, is_published FROM device").fetchone()
        return None if row is None else OlmAccount.from_pickle(row[0], self._pickle_key, row[1] == 1)

    def save_account(self, account: Any) -> None:
        """Matrix-nio calls this before a one-time key is used up, so it is written later."""
        self._unsaved = account

    def flush(self) -> None:
        """Writes the account, if it changed."""
        account, self._unsaved = self._unsaved, None
        if account is not None:
            self._db.execute(
                "INSERT INTO device (id, user_id, device_id, account, is_published) VALUES (1, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET account = excluded.account, is_published = excluded.is_published",
                (self._user_id, self._device_id, account.pickle(self._pickle_key), account.shared),
            )

    def load_sessions(self) -> OlmSessions:
        return self.sessions

    def save_session(self, sender_key: str, session: Any) -> None:
        self.sessions.save(sender_key, session)

    def load_inbound_group_sessions(self) -> None:
        """Room keys are our own matter: see `room_keys`."""

    def load_device_keys(self) -> Any:
        """No devices: receiving needs no knowledge of others."""
        return DeviceStore()

    def load_outgoing_key_requests(self) -> dict[str, Any]:
        """No requests: room keys are asked of the key backup alone."""
        return {}


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds)  # noqa: DTZ006 - matrix-nio's times are naive and local
