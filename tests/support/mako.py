"""A real notification server of Wayland: mako in a sway of its own, on a private bus."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from support.buses import PrivateBus
from support.screens import wait_for
from support.sway import SwaySession

_CONFIG = "font=DejaVu Sans 11\ndefault-timeout=0\nmax-visible=10\n[mode=do-not-disturb]\ninvisible=1\n"


class MakoSession:
    """sway and mako for the length of a `with` block. Popups stay until somebody closes them."""

    def __init__(self, bus: PrivateBus) -> None:
        self._bus = bus
        self._sway = SwaySession()
        self._folder = Path(tempfile.mkdtemp(prefix="heliograph-mako-"))

    def __enter__(self) -> MakoSession:
        try:
            self._sway.__enter__()
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sway.__exit__(kind, error, trace)
        shutil.rmtree(self._folder, ignore_errors=True)

    def shown(self) -> list[dict[str, Any]]:
        """Popups on screen: `id`, `summary`, `body`, `actions` and more, newest first."""
        # Not `makoctl list`, which tells it as JSON or in words of its own, from version to version.
        question = ("org.freedesktop.Notifications", "/fr/emersion/Mako", "fr.emersion.Mako", "ListNotifications")
        answer = json.loads(self._run("busctl", "--user", "--json=short", "call", *question))
        return [{key: entry[key]["data"] for key in entry} for group in answer["data"] for entry in group]

    def count(self) -> int:
        """Popups on screen now."""
        return len(self.shown())

    def press(self, popup_id: int, action: str) -> None:
        """The user chooses an action, by its key."""
        self._run("makoctl", "invoke", "-n", str(popup_id), action)

    def dismiss(self, popup_id: int) -> None:
        """The user closes it."""
        self._run("makoctl", "dismiss", "-n", str(popup_id))

    def inhibit(self, is_on: bool) -> None:
        """The user changes its mode, to one in which nothing is visible."""
        mode = "do-not-disturb" if is_on else "default"
        place = ("org.freedesktop.Notifications", "/fr/emersion/Mako", "fr.emersion.Mako")
        self._run("busctl", "--user", "call", *place, "SetMode", "s", mode)

    def screenshot(self, path: Path) -> None:
        """The whole screen, as PNG."""
        self._sway.screenshot(path)

    def _start(self) -> None:
        """Returns when mako owns its name on the bus."""
        config, log = self._folder / "config", self._folder / "mako.log"
        config.write_text(_CONFIG)
        mako = self._sway.spawn("mako", "--config", str(config), log=log, environ=self._session)
        wait_for(lambda: self._bus.has_owner("org.freedesktop.Notifications"), mako, log)

    @property
    def _session(self) -> dict[str, str]:
        return {"DBUS_SESSION_BUS_ADDRESS": self._bus.address, "HOME": str(self._folder)}

    def _run(self, *words: str) -> str:
        return self._sway.run(*words, environ=self._session)
