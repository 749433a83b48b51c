"""Opens the user's browser."""

from __future__ import annotations

import contextlib
import os
import shutil

import click

BROWSER_S = 600.0
"""How long the user may take there."""


def has_display() -> bool:
    """True if a browser could show itself to whoever runs this command."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_browser(url: str) -> None:
    """Opens this URL on the user's display, and says in the terminal what to do."""
    click.echo("Sign in in the browser on this machine. If none opens, visit:")
    click.echo(f"  {url}")
    opener = shutil.which("xdg-open")
    # Without a display, xdg-open would start a text browser in this very terminal.
    if opener is None or not has_display():
        return
    silence = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    with contextlib.suppress(OSError):
        # Not a subprocess of asyncio, which would end the browser together with this command.
        # Browsers write to the terminal for as long as they run, so its streams are closed to them.
        os.posix_spawn(opener, [opener, url], os.environ, file_actions=silence, setsid=True)
