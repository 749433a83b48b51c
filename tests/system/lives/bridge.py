"""An application service, as bridges are, which may say when an event was sent: also at an impossible time.

Source: Application Service API, "Timestamp massaging".
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from heliograph.core.ids import EventId
from heliograph.demo.user import DemoUser

_TOKEN = "token-of-a-bridge"
_serial = itertools.count(1)


def register(folder: Path) -> Mapping[str, object]:
    """Settings of a homeserver at which there is such a service. It acts for senders."""
    registration = {
        "id": "bridge",
        "url": None,
        "as_token": _TOKEN,
        "hs_token": "token-of-a-homeserver",
        "sender_localpart": "bridge",
        "rate_limited": False,
        "namespaces": {"users": [{"exclusive": False, "regex": "@(alice|bob)-.*"}], "rooms": [], "aliases": []},
    }
    path = folder / "bridge.json"
    path.write_text(json.dumps(registration))
    return {"app_service_config_files": [str(path)]}


async def send_at(sent_ms: int, sender: DemoUser, room: str, type_: str, content: Mapping[str, Any]) -> EventId:
    """Sends a message event in the sender's name that says to be of this time. Returns its id."""
    bridge = replace(sender, access_token=_TOKEN)
    path = f"/rooms/{room}/send/{type_}/bridge{next(_serial)}"
    told = await bridge.call("PUT", path, dict(content), ts=str(sent_ms), user_id=sender.user_id)
    return EventId(told["event_id"])
