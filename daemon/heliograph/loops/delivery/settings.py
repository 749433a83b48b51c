"""Whose deliveries a loop brings to the screen, and what the configuration says of them."""

from __future__ import annotations

from heliograph.core.popups.privacy import SHOW_ALL, Privacy
from heliograph.core.value_type import value_type


@value_type
class DeliverySettings:
    """The settings of one account's deliveries."""

    user_id: str
    max_rooms: int = 5
    """If more rooms than this have something new at once, all of it becomes one summary."""
    logs_bodies: bool = False
    privacy: Privacy = SHOW_ALL
