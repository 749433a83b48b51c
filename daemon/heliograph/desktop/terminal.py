"""Prints notifications on a stream: for the demo, for pipes, and where nothing better is there."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable
from typing import TextIO

from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater
from heliograph.core.notification import Category, DesktopSignal, Notification, Popup, ServerChanged, Urgency
from heliograph.core.popups.profile import SAFE
from heliograph.core.text.clean import clean_line, clean_text
from heliograph.desktop.threads import SideThread

_TIMEOUT_S = 5.0
_AFTER_TROUBLE_S = 30.0
_SUMMARY_LIMIT = 200
_BODY_LIMIT = 1000

_BOLD, _DIM, _YELLOW, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
_MARKS = {Category.INVITE: "+", Category.CALL: "!", Category.DEVICE: "#"}
_MARK = "*"


class TerminalDesktop:
    """`ports.Desktop` on a text stream. A replacement is printed with its new words; closing prints nothing."""

    name = "terminal"
    server_name = "standard output"
    is_inhibited = False
    why_inhibited = ""
    profile = SAFE

    def __init__(self, stream: TextIO, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._stream = stream
        self._timeout_s = timeout_s
        self._has_colours = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        # A pipe that nobody reads blocks whoever writes to it.
        self._thread = SideThread()
        self._life = f"terminal:{secrets.token_hex(8)}"
        self._ids = itertools.count(1)

    def listen(self, listener: Callable[[DesktopSignal], None]) -> None:
        listener(ServerChanged(self._life))

    async def show(
        self, notification: Notification, replaces: Popup | None
    ) -> Done[Popup] | RetryLater | Declined | NeedsUser:
        is_known = replaces is not None and replaces.server == self._life
        text = write_block(notification, is_update=is_known, has_colours=self._has_colours)
        try:
            await self._thread.run(lambda: self._print(text), self._timeout_s)
        except TimeoutError:
            return RetryLater(_AFTER_TROUBLE_S, "nobody reads the output")
        except (OSError, ValueError) as error:
            return NeedsUser("The output is closed", f"Start again with an output that stays open ({error}).")
        return Done(replaces if is_known and replaces is not None else Popup(self._life, next(self._ids)))

    async def close(self, popup: Popup) -> Done[None] | RetryLater | Declined | NeedsUser:
        return Done(None)

    async def shut(self) -> None:
        return None

    def _print(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        # A terminal of another encoding would raise for one emoji.
        self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()


def write_block(notification: Notification, *, is_update: bool = False, has_colours: bool = False) -> str:
    """The notification in lines: its summary, then each line of its body, indented. Of control characters only those of
    our own colours come through."""
    summary = clean_line(notification.summary, _SUMMARY_LIMIT)
    body = clean_text(notification.body, _BODY_LIMIT)
    suffix = " (updated)" if is_update else ""
    mark = _MARKS.get(notification.category, _MARK)
    if has_colours:
        colour = _RED if notification.urgency is Urgency.CRITICAL else _YELLOW
        head = f"{colour}{mark}{_PLAIN} {_BOLD}{summary}{_PLAIN}{_DIM}{suffix}{_PLAIN}"
    else:
        head = f"{mark} {summary}{suffix}"
    return "".join(f"{line}\n" for line in (head, *(f"  {line}" for line in body.split("\n") if line)))
