"""Writes the line that a status bar shows, in the format of each bar.

waybar, i3status-rs and i3blocks take JSON of their own, polybar a line of text, eww any JSON; for all others the user
gives a template. Names of rooms come from strangers: they are cleaned, and escaped if a bar would take them for markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from heliograph.core.summary.summary import RoomCount, Summary
from heliograph.core.text.clean import clean_line, count_things
from heliograph.core.value_type import value_type

STOPPED = "stopped"
"""The state while no daemon answers."""
_WELL = ("connected", "connecting")
ROOM_LINES = 10
"""The most rooms that a tooltip names."""
NAME_LIMIT = 60


@value_type
class BarState:
    """All that a bar can show."""

    summary: Summary | None = None
    """The daemon's summary; None: no daemon answers."""
    quiet: str = ""
    """Why nothing pops up at the moment, and until when, in words; "": notifications pop up."""

    @property
    def state(self) -> str:
        """The state of the account that is worst off, or STOPPED."""
        return STOPPED if self.summary is None else self.summary.state

    @property
    def unread(self) -> int:
        """The number of unread messages."""
        return 0 if self.summary is None else self.summary.unread

    @property
    def highlights(self) -> int:
        """The number of unread messages that are highlights."""
        return 0 if self.summary is None else self.summary.highlights

    @property
    def rooms(self) -> tuple[RoomCount, ...]:
        """The rooms with the newest unread messages, newest first. There may be more rooms than these."""
        return () if self.summary is None else self.summary.rooms

    @property
    def accounts(self) -> tuple[tuple[str, str], ...]:
        """User ids and the states of their accounts."""
        return () if self.summary is None else self.summary.accounts

    @property
    def is_in_trouble(self) -> bool:
        """True if messages do not arrive."""
        return not is_well(self.state)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all that is so, the most urgent first, for style sheets. Never empty."""
        found = []
        if self.is_in_trouble:
            found += ["offline", self.state.replace(" ", "-")]
        if self.quiet:
            found.append("quiet")
        if self.highlights:
            found.append("highlight")
        if self.unread:
            found.append("unread")
        # Each name once: the state itself may be called "offline".
        return tuple(dict.fromkeys(found)) or ("none",)

    @property
    def text(self) -> str:
        """The number of unread messages, after "!" in trouble and "z" in quiet. Empty if there is nothing to tell."""
        mark = "!" if self.is_in_trouble else "z" if self.quiet else ""
        return f"{mark}{self.unread or ''}"

    @property
    def total(self) -> str:
        """How much is unread, in words."""
        if not self.unread:
            return "Nothing unread"
        return f"{self.unread} unread" + (f", {_highlights(self.highlights)}" if self.highlights else "")

    @property
    def tooltip(self) -> str:
        """Several lines: the total, the rooms, and what is wrong."""
        lines = [self.total]
        lines += [room_line(room) for room in self.rooms[:ROOM_LINES]]
        if len(self.rooms) > ROOM_LINES:
            lines.append("and more")
        lines += [
            f"{clean_line(user_id, NAME_LIMIT)}: {state}" for user_id, state in self.accounts if not is_well(state)
        ]
        if self.state == STOPPED:
            lines.append("Heliograph is not running")
        if self.quiet:
            lines.append(self.quiet[:1].upper() + self.quiet[1:])
        return "\n".join(lines)


def is_well(state: str) -> bool:
    """True if messages arrive, or soon will, while an account or the daemon is in this state."""
    return state in _WELL


def room_line(room: RoomCount) -> str:
    """The name of the room and how much is unread there, in one line."""
    title = clean_line(room.title, NAME_LIMIT) or "(no name)"
    return f"{title}: {room.unread}" + (f" ({_highlights(room.highlights)})" if room.highlights else "")


def _highlights(count: int) -> str:
    return count_things(count, "highlight")


def escape_pango(text: str) -> str:
    """`text` escaped for Pango markup, on one line."""
    # The ampersand first: the others bring some.
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(plain, escaped)
    return text.replace("\n", "&#10;")


def _break_polybar(text: str) -> str:
    """`text` without polybar's and lemonbar's tags: a room by the name of "%{A1:command:}" would make its line a button
    that runs the command. They know no escape, so an invisible character comes between the sign and the brace."""
    return text.replace("%{", "%\u200b{")


def _waybar(bar: BarState) -> str:
    """waybar-custom(5), `"return-type": "json"`. Without text the module is hidden."""
    return _json(
        {
            "text": escape_pango(bar.text),
            # Chooses among `format-icons`, by a single name.
            "alt": bar.classes[0],
            # A tooltip has several lines, and takes line feeds as they are.
            "tooltip": escape_pango(bar.tooltip).replace("&#10;", "\n"),
            "class": list(bar.classes),
        }
    )


def _polybar(bar: BarState) -> str:
    """polybar's custom/script with `tail = true`."""
    return f"{bar.text} @{bar.highlights}" if bar.highlights else bar.text


def _i3blocks(bar: BarState) -> str:
    """i3blocks(1), `format=json`. An empty block is hidden.

    i3blocks 1.4, which Debian has, loses values that are no texts; 1.5 takes both.
    Test: test_i3blocks_is_urgent_for_highlights.
    """
    return _json({"full_text": _polybar(bar), "short_text": bar.text, "urgent": _json(bar.highlights > 0)})


def _i3status_rs(bar: BarState) -> str:
    """i3status-rust's custom block with `json = true` and `persistent = true`."""
    # The bar's own names: they give the block its colour.
    state = "Idle"
    if bar.is_in_trouble:
        state = "Critical"
    elif bar.highlights:
        state = "Warning"
    elif bar.unread:
        state = "Info"
    return _json({"text": _polybar(bar), "short_text": bar.text, "state": state})


def _eww(bar: BarState) -> str:
    """One flat object for `deflisten`; eww's labels take text as it is."""
    return _json(
        {
            "text": bar.text,
            "unread": bar.unread,
            "highlights": bar.highlights,
            "state": bar.state,
            "class": " ".join(bar.classes),
            "quiet": bar.quiet,
            "tooltip": bar.tooltip,
        }
    )


def _everything(bar: BarState) -> str:
    """One object with all there is, for programs of the user's own."""
    return _json(
        {
            "unread": bar.unread,
            "highlights": bar.highlights,
            "state": bar.state,
            "quiet": bar.quiet,
            "class": list(bar.classes),
            "rooms": [
                {
                    "account": room.account,
                    "room_id": room.room_id,
                    "title": clean_line(room.title, NAME_LIMIT),
                    "unread": room.unread,
                    "highlights": room.highlights,
                }
                for room in bar.rooms
            ],
            "accounts": [{"user_id": user_id, "state": state} for user_id, state in bar.accounts],
        }
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


FORMATS: Mapping[str, Callable[[BarState], str]] = MappingProxyType(
    {
        "waybar": _waybar,
        "polybar": _polybar,
        "i3blocks": _i3blocks,
        "i3status-rs": _i3status_rs,
        "eww": _eww,
        "json": _everything,
    }
)
"""By the name of the bar: the function that writes its line, which may be empty."""

_FIELDS: Mapping[str, Callable[[BarState], str]] = MappingProxyType(
    {
        "text": lambda bar: bar.text,
        "unread": lambda bar: str(bar.unread),
        "highlights": lambda bar: str(bar.highlights),
        "rooms": lambda bar: str(len(bar.rooms)),
        "state": lambda bar: bar.state,
        "class": lambda bar: bar.classes[0],
        "quiet": lambda bar: bar.quiet,
        "tooltip": lambda bar: bar.tooltip,
    }
)
# Without an escape, too, line breaks go: each line of output is one state for the bar.
_ESCAPES: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        # Nothing says which bar a template is for, and other bars show the broken tag as it was.
        "": lambda text: _break_polybar(text.replace("\n", "; ")),
        "pango": escape_pango,
        "json": lambda text: json.dumps(text, ensure_ascii=False),
    }
)
# Doubled braces first, as in Python's format strings; a single one that is left over at the end is a mistake.
_PART = re.compile(r"\{\{|\}\}|\{([^{}:]*)(?::([^{}]*))?\}|[{}]")


class TemplateError(ValueError):
    """The text says what is wrong with a template."""


def read_format(text: str) -> Callable[[BarState], str]:
    """The function that writes lines in the format of this name, or by the template `text` with fields like `{unread}`
    or `{tooltip:pango}`. Raises TemplateError."""
    if known := FORMATS.get(text):
        return known
    if "{" not in text:
        raise TemplateError(f"{text!r} is neither a format nor a template")
    if "\n" in text:
        raise TemplateError("a template is one line")
    # Checked now, so that a mistake is told in the terminal and not in the bar.
    for part in _PART.finditer(text):
        _check(part)
    return lambda bar: _PART.sub(lambda part: _fill(part, bar), text)


def _check(part: re.Match[str]) -> None:
    if part[0] in ("{{", "}}"):
        return
    if part[0] in ("{", "}"):
        raise TemplateError(f"{part[0]!r} stands alone: write it twice to have it once")
    if part[1] not in _FIELDS:
        raise TemplateError(f"there is no field {part[0]}; there are {', '.join(_FIELDS)}")
    if (part[2] or "") not in _ESCAPES:
        raise TemplateError(f"{part[0]} can end in {' or '.join(f':{name}' for name in _ESCAPES if name)}")


def _fill(part: re.Match[str], bar: BarState) -> str:
    if part[0] in ("{{", "}}"):
        return part[0][0]
    return _ESCAPES[part[2] or ""](_FIELDS[part[1]](bar))
