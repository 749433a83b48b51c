"""Tells the copies of signals that notification servers send twice."""

from __future__ import annotations

from collections import OrderedDict

_REMEMBERED_IDS = 256
"""GNOME Shell also sends the signals of other programs' notifications, so what is remembered is bounded."""


class Echoes:
    """Tells a signal's second copy from the first, by notification id.

    GNOME Shell sends every signal to us and to everyone; swaync sends NotificationClosed twice, with different
    reasons; several servers send it again for CloseNotification on what is already closed.
    """

    def __init__(self) -> None:
        self._heard: OrderedDict[int, set[str]] = OrderedDict()

    def is_echo(self, popup_id: int, signal: str) -> bool:
        """Whether this id has signalled the same before, since it was last shown."""
        heard = self._heard.setdefault(popup_id, set())
        self._heard.move_to_end(popup_id)
        if signal in heard:
            return True
        heard.add(signal)
        while len(self._heard) > _REMEMBERED_IDS:
            self._heard.popitem(last=False)
        return False

    def forget(self, popup_id: int) -> None:
        """The id was shown again, with new content or as a new notification: its next signals are no copies."""
        self._heard.pop(popup_id, None)

    def clear(self) -> None:
        """Another server is there, whose ids mean other notifications."""
        self._heard.clear()
