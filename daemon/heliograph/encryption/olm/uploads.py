"""The keys that our device publishes: its identity, one-time keys, a fallback key for when those are used up.

https://spec.matrix.org/v1.18/client-server-api/#post_matrixclientv3keysupload

One-time keys are on disk before they are uploaded, and the account is written again after each use of one. Keys whose
upload nobody confirmed are uploaded again as they were.
Tests: test_keys_are_on_disk_before_they_are_published, test_a_one_time_key_serves_once_also_over_a_restart.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from heliograph.core.encryption.values import MEGOLM, OLM, KeyUpload
from heliograph.core.events import Json
from heliograph.encryption.olm.nio_machine import OlmMachine

ALGORITHM = "signed_curve25519"
LEAST_FALLBACK_MS = 3_600_000
"""How long a fallback key serves at least, however often it is used: the one before the last is forgotten."""


def prepare(
    db: sqlite3.Connection, olm: OlmMachine, *, one_time_keys: int, is_fallback_used: bool, now_ms: int
) -> KeyUpload:
    """What to upload, whose private halves are on disk once the transaction is.

    Keys that were made before and not yet confirmed are sent again as they were. `one_time_keys`: how many the server
    has. `is_fallback_used`: it says so.
    """
    account = olm.vodozemac_account
    # Unconfirmed ones are sent again as they were, so that only what is missing beside them is made.
    missing = account.max_number_of_one_time_keys - one_time_keys
    unconfirmed = len(account.one_time_keys)
    if missing > unconfirmed:
        account.generate_one_time_keys(missing - unconfirmed)
    if _wants_fallback(db, olm, is_used=is_fallback_used, now_ms=now_ms):
        account.generate_fallback_key()
        olm.save_account()
        olm.flush()
        db.execute("UPDATE device SET fallback_ms = ?", (now_ms,))
    one_time = _signed(olm, account.one_time_keys) if missing > 0 else {}
    fallback = _signed(olm, account.fallback_key, fallback=True)
    olm.save_account()
    olm.flush()
    return KeyUpload(None if olm.account.shared else _device_keys(olm), one_time or None, fallback or None)


def confirm(olm: OlmMachine) -> None:
    """The server has them, or refuses them for good: they are not sent again. Their private halves stay."""
    olm.mark_keys_as_published()
    olm.save_account()
    olm.flush()


def forget_publication(db: sqlite3.Connection, olm: OlmMachine) -> None:
    """The server has no keys of this device: its identity keys go up again as they are, with a new fallback key. The
    private half of the fallback key before that one stays."""
    olm.account.shared = False
    olm.save_account()
    olm.flush()
    # One that waits for its upload already is enough: two steps on, the fallback key that others hold would be gone.
    if not olm.vodozemac_account.fallback_key:
        db.execute("UPDATE device SET fallback_ms = 0")


def _wants_fallback(db: sqlite3.Connection, olm: OlmMachine, *, is_used: bool, now_ms: int) -> bool:
    if olm.vodozemac_account.fallback_key:
        return False  # not yet confirmed
    (made_ms,) = db.execute("SELECT fallback_ms FROM device").fetchone()
    # A time that the disk has spoilt counts as long ago.
    return not isinstance(made_ms, int) or not made_ms or (is_used and abs(now_ms - made_ms) >= LEAST_FALLBACK_MS)


def _device_keys(olm: OlmMachine) -> Json:
    keys: dict[str, Any] = {
        "algorithms": [OLM, MEGOLM],
        "device_id": olm.device_id,
        "user_id": olm.user_id,
        "keys": {f"curve25519:{olm.device_id}": olm.curve25519, f"ed25519:{olm.device_id}": olm.ed25519},
    }
    return keys | _signatures(olm, keys)


def _signed(olm: OlmMachine, keys: dict[str, Any], **marks: bool) -> dict[str, Json]:
    signed: dict[str, Json] = {}
    for key_id, public in keys.items():
        content = {"key": public.to_base64(), **marks}
        signed[f"{ALGORITHM}:{key_id}"] = content | _signatures(olm, content)
    return signed


def _signatures(olm: OlmMachine, content: dict[str, Any]) -> dict[str, Any]:
    return {"signatures": {olm.user_id: {f"ed25519:{olm.device_id}": olm.sign_json(content)}}}
