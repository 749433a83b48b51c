"""Checks the notification server."""

from __future__ import annotations

from heliograph.core.finding import Finding, bad, doubtful, good
from heliograph.core.popups.capabilities import word_capabilities
from heliograph.core.popups.profiles import word_profile
from heliograph.desktop.choice import open_desktop
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.errors import UserError

_SUBJECT = "notifications"


async def check_notifications(backend: str) -> Finding:
    """Checks what would show a notification, without showing one. A server that the bus can start is started."""
    try:
        desktop = await open_desktop(backend)
    except UserError as error:
        return bad(error.title, error.hint, subject=_SUBJECT)
    try:
        if not isinstance(desktop, FreedesktopDesktop):
            return doubtful(
                f"through {desktop.name}: text only, no clicks, never withdrawn",
                "Run it in a desktop session with a notification server.",
                subject=_SUBJECT,
            )
        traits = await desktop.traits()
        if traits is None:
            return bad(
                "no notification server answers", "Start your desktop's, or install dunst or mako.", subject=_SUBJECT
            )
        if desktop.is_inhibited:
            text = f"{traits.title} holds notifications back: {desktop.why_inhibited}"
            return doubtful(text, "Change that in your desktop's settings.", subject=_SUBJECT)
        can = [words for is_there, words in word_capabilities(traits.capabilities) if is_there]
        text = f"{traits.title} ({word_profile(traits.profile)}): {', '.join(can) or 'shows titles only'}"
        return doubtful(text, traits.hint, subject=_SUBJECT) if traits.hint else good(text, subject=_SUBJECT)
    finally:
        await desktop.shut()
