"""Notifications through plyer, where there is no session bus: text only, no ids, no closing, no clicks. So plyer comes
last before the terminal. Test: test_it_can_take_nothing_back.

What was measured on plyer 2.1.0: it hands the title to notify-send as a bare argument, so "--wait" blocks for ever and
"--hint=..." is obeyed; an empty title shows nothing; where a folder /app exists (any container's) it pastes the
texts into a GVariant literal; it escapes no markup; no failure is ever reported. So it gets only texts that cannot be
taken for any of this.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import secrets
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater
from heliograph.core.notification import DesktopSignal, Notification, Popup, ServerChanged
from heliograph.core.popups.profile import SAFE
from heliograph.core.text.clean import clean_line, clean_text
from heliograph.desktop.identity import APP_NAME
from heliograph.desktop.threads import SideThread

_TIMEOUT_S = 10.0
_AFTER_TROUBLE_S = 30.0
_SUMMARY_LIMIT = 200
_BODY_LIMIT = 1000

_LOOKALIKES = str.maketrans({"<": "\u2039", ">": "\u203a", "&": "\uff06"})
"""Look-alikes of markup's characters: plyer does not tell whether the server takes the body for markup, and these are
shown alike by all."""
_PORTAL_LOOKALIKES = str.maketrans({"'": "\u2019", "\\": "\u2216"})


class PortableDesktop:
    """`ports.Desktop` over plyer. Its ids are made up: its popups can be neither replaced nor closed."""

    name = "plyer"
    server_name = "whatever plyer finds"
    is_inhibited = False
    why_inhibited = ""
    profile = SAFE

    def __init__(self, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._thread = SideThread()
        self._life = f"plyer:{secrets.token_hex(8)}"
        self._ids = itertools.count(1)

    def listen(self, listener: Callable[[DesktopSignal], None]) -> None:
        listener(ServerChanged(self._life))

    async def show(
        self, notification: Notification, replaces: Popup | None
    ) -> Done[Popup] | RetryLater | Declined | NeedsUser:
        title = clean_line(notification.summary, _SUMMARY_LIMIT)
        message = clean_text(notification.body, _BODY_LIMIT).translate(_LOOKALIKES)
        try:
            await self._thread.run(lambda: _notify(title, message), self._timeout_s)
        except TimeoutError:
            return RetryLater(_AFTER_TROUBLE_S, f"plyer did not return within {self._timeout_s:g} s")
        except NotImplementedError:
            return NeedsUser("plyer has no way to show notifications here", _HINT)
        except Exception as error:  # noqa: BLE001 - each platform of plyer raises its own
            return RetryLater(_AFTER_TROUBLE_S, f"plyer failed: {type(error).__name__}")
        return Done(Popup(self._life, next(self._ids)))

    async def close(self, popup: Popup) -> Done[None] | RetryLater | Declined | NeedsUser:
        return Declined("plyer cannot close notifications")

    async def shut(self) -> None:
        return None


def harmless(text: str, *, is_portal: bool) -> str:
    """The text, changed where plyer's option parser, emptiness check or GVariant literal would trip over it."""
    text = text.translate(_PORTAL_LOOKALIKES) if is_portal else text
    return "\u200b" + text if not text or text.startswith("-") else text


_HINT = "Install notify-send (package libnotify-bin), or choose another back end."


def why_not_portable(*, is_bus_there: bool) -> str | None:
    """What plyer lacks here to show anything; None: nothing. Looks at the disk."""
    if not sys.platform.startswith("linux"):
        return None
    if _is_portal() and not Path("/.flatpak-info").is_file():
        return "plyer takes a folder /app for a Flatpak sandbox and would call its portal"
    if importlib.util.find_spec("dbus") is None and shutil.which("notify-send") is None:
        return "neither notify-send nor dbus-python is installed"
    if not is_bus_there and not os.environ.get("DISPLAY"):
        # With a display, libnotify may still find a bus through X11.
        return "there is no session bus and no display"
    return None


def _is_portal() -> bool:
    return os.path.isdir("/app")


def _notify(title: str, message: str) -> None:
    is_portal = _is_portal()
    with warnings.catch_warnings():
        # It warns of each thing that is not installed before it looks for the next one.
        warnings.simplefilter("ignore")
        from plyer import notification

        notification.notify(
            title=harmless(title, is_portal=is_portal),
            message=harmless(message, is_portal=is_portal),
            app_name=APP_NAME,
        )
