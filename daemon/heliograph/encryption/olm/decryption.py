"""Decrypts room events: finds the room key, then checks room and place of what it opens.

A place in a session serves one event id; the same event may be decrypted again.
Test: test_the_same_event_again_is_read_again_but_no_other_in_its_place.
Why no key came (`m.room_key.withheld`) is believed of the sender of the event only.
Test: test_a_withheld_key_tells_its_code_until_it_comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vodozemac

from heliograph.core.encryption.values import MEGOLM, Clear, Locked, Reason, RoomKey
from heliograph.core.events import Event
from heliograph.encryption.olm.guard import guarded
from heliograph.encryption.olm.room_keys import RoomKeys, Stored
from heliograph.encryption.olm.texts import MAX_EVENT, MalformedContent, key, read_object, table, text

Claim = Callable[[Stored, int, str], bool]
"""Whether this event (id) may use this place of the session."""


def decrypt(event: Event, room_keys: RoomKeys) -> Clear | Locked:
    """Decrypts the event, and notes which place of its session the event used. Nothing that a stranger sends raises."""
    return _guarded(event, room_keys, room_keys.use)


def peek_with(event: Event, room_keys: RoomKeys) -> Clear | Locked:
    """Decrypts the event like `decrypt`, but notes nothing: for a look beside the daemon."""
    return _guarded(event, room_keys, room_keys.may_use)


def _guarded(event: Event, room_keys: RoomKeys, claim: Claim) -> Clear | Locked:
    try:
        with guarded():
            return _decrypt(event, room_keys, claim)
    except MalformedContent:
        return Locked(Reason.MALFORMED)


def _decrypt(event: Event, room_keys: RoomKeys, claim: Claim) -> Clear | Locked:
    content = dict(event.content)
    if content.get("algorithm") != MEGOLM:
        return Locked(Reason.UNSUPPORTED)
    wanted = RoomKey(event.room_id, key(content, "session_id"))
    message = vodozemac.MegolmMessage.from_base64(text(content, "ciphertext", MAX_EVENT))
    # Anyone in the room has the key and can encrypt with it: only what its maker sent is believed.
    stored = room_keys.find(wanted, event.sender)
    if stored is None and room_keys.has(wanted):
        return Locked(Reason.WRONG_SENDER, wanted)
    if stored is None:
        code = room_keys.withheld(wanted, event.sender)
        return Locked(Reason.NO_KEY, wanted) if code is None else Locked(Reason.WITHHELD, wanted, code)
    # Looked at before it is tried: another client may still send the session from its beginning.
    if message.message_index() < stored.session.first_known_index:
        return Locked(Reason.KEY_STARTS_LATER, wanted)
    try:
        decrypted = stored.session._session.decrypt(message)
    except (vodozemac.MegolmDecryptionException, vodozemac.DecodeException):
        return Locked(Reason.BROKEN)
    return _check(event, stored, read_object(decrypted.plaintext), decrypted.message_index, claim)


def _check(event: Event, stored: Stored, payload: dict[str, Any], message_index: int, claim: Claim) -> Clear | Locked:
    text(payload, "type")
    table(payload, "content")
    # A homeserver could show a message of one room in another.
    if payload.get("room_id") != event.room_id:
        return Locked(Reason.WRONG_ROOM)
    # Last, since it notes the place: an event that fails for another reason must not use it up.
    if not claim(stored, message_index, event.event_id):
        return Locked(Reason.REPLAYED)
    return Clear(payload, stored.session.sender_key, stored.session.ed25519, stored.is_from_backup)
