"""Reads power levels: how high a sender stands, and how high a sender must stand to notify or redact.

https://spec.matrix.org/v1.17/client-server-api/#mroompower_levels
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from heliograph.core.push.context import Context

_DEFAULT_TO_NOTIFY = 50
_DEFAULT_TO_REDACT = 50
# In a room without power levels the creator has 100 and everybody else 0 (m.room.power_levels).
_IMPLICIT_CREATOR = 100
_WRITTEN = re.compile(r"\s*([+-]?[0-9]{1,20})\s*", re.ASCII)


def sender_level(sender: Any, context: Context) -> float | None:
    """The sender's power level; infinite for creators since room version 12; None if too little is known."""
    if context.sender_power_level is not None:
        return context.sender_power_level
    if not isinstance(sender, str):
        return None
    is_creator = sender in context.creators
    if is_creator and _creators_stand_above(context.room_version):
        return math.inf
    if context.power_levels is None:
        if not context.creators:
            return None
        return _IMPLICIT_CREATOR if is_creator else 0
    users = context.power_levels.get("users")
    if isinstance(users, Mapping) and (level := _level(users.get(sender))) is not None:
        return level
    return _level(context.power_levels.get("users_default")) or 0


def level_to_notify(key: str, context: Context) -> int:
    """The power level that `notifications` asks for: 50 for whatever it does not name."""
    notifications = (context.power_levels or {}).get("notifications")
    level = _level(notifications.get(key)) if isinstance(notifications, Mapping) else None
    return _DEFAULT_TO_NOTIFY if level is None else level


def level_to_redact(context: Context) -> int:
    """The power level for redacting what others wrote: 50 unless the room says otherwise."""
    level = _level((context.power_levels or {}).get("redact"))
    return _DEFAULT_TO_REDACT if level is None else level


def _creators_stand_above(room_version: str | None) -> bool:
    version = room_version or ""
    # The name under which version 12 was tried out. Other versions may be any text, and only numbers can be compared.
    return version == "org.matrix.hydra.11" or (re.fullmatch("[0-9]{2,4}", version) is not None and int(version) >= 12)


def _level(value: Any) -> int | None:
    """Room versions before 10 let levels be strings and floats."""
    if isinstance(value, str):
        written = _WRITTEN.fullmatch(value)
        return int(written.group(1)) if written else None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    # In Python true and false are integers, too.
    return value if isinstance(value, int) and not isinstance(value, bool) else None
