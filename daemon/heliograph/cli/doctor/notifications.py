"""What shows notifications."""

from __future__ import annotations

from heliograph.cli.doctor.finding import Finding, bad, doubtful, good
from heliograph.core.popups.capabilities import word_capabilities
from heliograph.desktop.choice import open_desktop
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.errors import UserError

_SUBJECT = "notifications"


async def check_notifications(backend: str) -> Finding:
    """Nothing is shown for it; a server that the bus can start is started."""
    try:
        desktop = await open_desktop(backend)
    except UserError as error:
        return bad(_SUBJECT, error.title, error.hint)
    try:
        if not isinstance(desktop, FreedesktopDesktop):
            return doubtful(
                _SUBJECT,
                f"through {desktop.name}: text only, no clicks, never withdrawn",
                "Run it in a desktop session with a notification server.",
            )
        traits = await desktop.traits()
        if traits is None:
            return bad(_SUBJECT, "no notification server answers", "Start your desktop's, or install dunst or mako.")
        if desktop.is_inhibited:
            return doubtful(_SUBJECT, f"{traits.title}, do not disturb is on", "Switch it off in your desktop.")
        can = [words for is_there, words in word_capabilities(traits.capabilities) if is_there]
        return good(_SUBJECT, f"{traits.title}: {', '.join(can) or 'shows titles only'}")
    finally:
        await desktop.shut()
