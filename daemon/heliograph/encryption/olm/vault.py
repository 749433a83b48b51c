"""Small secrets at rest in crypto.db, under a key made of the pickle key: AES-256-GCM, bound to their names."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from secrets import token_bytes

from heliograph.encryption.olm.losses import Loss, Losses

_NONCE = 16
_TAG = 16


class Vault:
    """Reads and writes within the transaction under way."""

    def __init__(self, db: sqlite3.Connection, pickle_key: str, losses: Losses) -> None:
        self._db = db
        self._losses = losses
        self._key = sha256(b"heliograph secrets\0" + pickle_key.encode()).digest()

    def keep(self, name: str, secret: str | None) -> None:
        """Keeps the secret under this name; None forgets the one that is there."""
        if secret is None:
            self._db.execute("DELETE FROM secrets WHERE name = ?", (name,))
            return
        from Crypto.Cipher import AES

        cipher = AES.new(self._key, AES.MODE_GCM, nonce=token_bytes(_NONCE), mac_len=_TAG)
        # The name is authenticated as well: a secret that was moved under another name does not open.
        cipher.update(name.encode())
        sealed, tag = cipher.encrypt_and_digest(secret.encode())
        content = cipher.nonce + tag + sealed
        self._db.execute("INSERT OR REPLACE INTO secrets (name, content) VALUES (?, ?)", (name, content))

    def read(self, name: str) -> str | None:
        """The secret of this name; None: there is none, or it cannot be read, and is forgotten."""
        row = self._db.execute("SELECT content FROM secrets WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        secret = self._open(name, row[0])
        if secret is None:
            self._db.execute("DELETE FROM secrets WHERE name = ?", (name,))
            self._losses.note(Loss.VAULT, f"What was kept as {name}")
        return secret

    def _open(self, name: str, content: object) -> str | None:
        from Crypto.Cipher import AES

        if not isinstance(content, bytes) or len(content) < _NONCE + _TAG:
            return None
        nonce, tag, sealed = content[:_NONCE], content[_NONCE : _NONCE + _TAG], content[_NONCE + _TAG :]
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG)
        cipher.update(name.encode())
        try:
            return cipher.decrypt_and_verify(sealed, tag).decode()
        except ValueError:
            return None
