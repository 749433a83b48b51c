"""Pushers that lead to a relay (`heliograph relay`) though requests no longer pass it.

A relay shows its users their pushers as these were set. Whoever sees what a relay has put in their place is led past
it: the relay is down, or was taken away without `heliograph relay leave`.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from heliograph.core.pushers.pusher import Pusher
from heliograph.core.text.clean import clean_line

ORIGINAL = "io.github.heliograph.relay.original"
"""The property of `data` in which a relay keeps the pusher that it has replaced."""
_LONGEST = 100


def led_to_relay(pushers: Iterable[Pusher]) -> list[Pusher]:
    """The pushers of phones and other devices whose pushes go to such a relay."""
    # Without the relay's own, which only wake it.
    return [each for each in pushers if _has_url(each.data.get(ORIGINAL)) and isinstance(each.data.get("url"), str)]


def relay_of(pusher: Pusher) -> str:
    """Host and port of the relay that a pusher of `led_to_relay` leads to, for people."""
    try:
        return clean_line(urlsplit(str(pusher.data["url"])).netloc, _LONGEST)
    except ValueError:
        return "an address that cannot be read"


def _has_url(original: object) -> bool:
    return isinstance(original, dict) and isinstance(original.get("url"), str)
