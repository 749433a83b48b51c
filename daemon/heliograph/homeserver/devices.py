"""Lists the user's devices, and names one. https://spec.matrix.org/v1.16/client-server-api/#device-management"""

from __future__ import annotations

from typing import Any

from heliograph.core.value_type import value_type
from heliograph.homeserver.address import segment
from heliograph.homeserver.decoding import decode_as, optional
from heliograph.homeserver.session import Session


@value_type
class ListedDevice:
    """A device as GET /devices lists it."""

    device_id: str
    name: str = ""
    last_seen_ms: int | None = None
    """Milliseconds since 1970; None: the server does not say."""


async def fetch_devices(session: Session) -> dict[str, ListedDevice]:
    """The user's devices by id. Entries that cannot be read are left out. Raises ServerError."""
    answer = decode_as(dict[str, Any], await session.request("GET", "/_matrix/client/v3/devices"))
    found = (_read(entry) for entry in optional(answer, list, "devices") or ())
    return {device.device_id: device for device in found if device is not None}


async def name_device(session: Session, device_id: str, name: str) -> None:
    """Gives the user's device this name, in place of an earlier one. Raises ServerError; Refused with status 404 if
    there is no such device."""
    path = f"/_matrix/client/v3/devices/{segment(device_id)}"
    await session.request("PUT", path, body={"display_name": name})


def _read(entry: Any) -> ListedDevice | None:
    if not isinstance(entry, dict):
        return None
    device_id = optional(entry, str, "device_id")
    if device_id is None:
        return None
    return ListedDevice(device_id, optional(entry, str, "display_name") or "", optional(entry, int, "last_seen_ts"))
