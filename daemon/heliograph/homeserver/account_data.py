"""Reads the user's global account data out of a /sync, and names the types to ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from heliograph.core.events import AccountData, Malformed
from heliograph.core.ids import is_room_id, is_user_id
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.event import BROKEN
from heliograph.homeserver.parts import PartialDecoder

_PREVIEWS = ("m.media_preview_config", "io.element.msc4278.media_preview_config")
_SILENCING = ("m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings.")


def types(device_id: str) -> list[str]:
    """The types of account data that the filter of a /sync has to let through."""
    return ["m.push_rules", "m.direct", "m.ignored_user_list", *_PREVIEWS, *_silencing_types(device_id)]


def read_account_data(decoding: PartialDecoder, raw: msgspec.Raw, device_id: str) -> AccountData:
    """What the events of `account_data` say. If a type comes twice, the last one counts. An event that cannot be read
    is noted as malformed, and its field is None."""
    data = AccountData()
    silencing = _silencing_types(device_id)
    for part in decoding.events(raw, "account_data"):
        type_ = ""
        try:
            event = _decode(part)
            type_ = event.type
            data = _after(data, type_, event.content, silencing)
        except BROKEN as error:
            decoding.malformed.append(Malformed("account_data", plain_line(f"{type_ or 'event'}: {error}")))
    return data


def _after(data: AccountData, type_: str, content: msgspec.Raw, silencing: list[str]) -> AccountData:
    if type_ == "m.push_rules":
        # Unusable rules are passed on as well: `loops.sync.rulebook` stays with the last good ones, and tells the user.
        # Test: test_unusable_push_rules_are_handed_on_so_that_somebody_says_so.
        rules = msgspec.json.decode(content)
        return replace(data, push_rules=rules if isinstance(rules, dict) else {})
    if type_ == "m.direct":
        lists = (rooms for rooms in _decode_object(content).values() if isinstance(rooms, list))
        return replace(data, direct_rooms=frozenset(room for rooms in lists for room in rooms if is_room_id(room)))
    if type_ == "m.ignored_user_list":
        ignored = _decode_object(content).get("ignored_users", {})
        if not isinstance(ignored, dict):
            raise msgspec.ValidationError("ignored_users is not an object")
        return replace(data, ignored_users=frozenset(user for user in ignored if is_user_id(user)))
    if type_ in _PREVIEWS:
        return replace(data, shows_invite_avatars=_decode_object(content).get("invite_avatars") != "off")
    if type_ in silencing:
        # Account data cannot be deleted: clients empty it, and an empty object means "not silenced".
        # Test: test_only_our_own_device_is_silenced.
        return replace(data, is_silenced=_decode_object(content).get("is_silenced") is True)
    return data


def _silencing_types(device_id: str) -> list[str]:
    return [prefix + device_id for prefix in _SILENCING]


class _Event(msgspec.Struct):
    type: str
    content: msgspec.Raw = msgspec.Raw(b"{}")


_decode = msgspec.json.Decoder(_Event).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
