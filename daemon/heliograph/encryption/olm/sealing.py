"""To-device events for other devices: sessions with them begun, contents encrypted with Olm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heliograph.core.encryption.values import DeviceKeys
from heliograph.core.events import Json
from heliograph.encryption.olm.guard import guarded
from heliograph.encryption.olm.nio_machine import OlmMachine
from heliograph.encryption.olm.texts import MalformedContent, key
from heliograph.encryption.olm.uploads import ALGORITHM


def without_session(olm: OlmMachine, devices: Sequence[DeviceKeys]) -> list[DeviceKeys]:
    """The devices for which nothing can be encrypted yet."""
    return [device for device in devices if olm.session_store.get(device.curve25519) is None]


def start_session(olm: OlmMachine, device: DeviceKeys, claimed: Mapping[str, Any]) -> bool:
    """Whether a session could be begun with this answer of /keys/claim."""
    try:
        with guarded():
            key_id, one_time_key = next(iter(claimed.items()), ("", None))
            if not key_id.startswith(f"{ALGORITHM}:") or not isinstance(one_time_key, dict):
                return False
            signed = dict(one_time_key)
            # The homeserver hands the key out, and could put its own in the place of it.
            if not olm.verify_json(signed, device.ed25519, device.user_id, device.device_id):
                return False
            olm.create_session(key(signed, "key"), device.curve25519)
            return True
    except MalformedContent:
        return False


def encrypt(
    olm: OlmMachine, devices: Sequence[DeviceKeys], type_: str, content: Json
) -> dict[DeviceKeys, dict[str, Any]]:
    """The encrypted event for each device; devices without a session are left out."""
    sealed = {device: olm.encrypt(device, type_, dict(content)) for device in devices}
    return {device: event for device, event in sealed.items() if event is not None}
