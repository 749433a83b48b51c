"""Reads a room of the inbox on the command line."""

from __future__ import annotations

from typing import Any

import click


class RoomNumber(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2 only
    """A room by its number, name or id. Shells complete it from the present inbox."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        import asyncio

        from click.shell_completion import CompletionItem

        from heliograph.cli.inbox.rooms import load_inbox
        from heliograph.core.text.clean import clean_line
        from heliograph.errors import HeliographError

        try:
            rooms = asyncio.run(load_inbox()).rooms
        # The shell shows completions or nothing: an error has no place in a line that is being typed.
        except (HeliographError, OSError):
            return []
        found = [(str(room["number"]), clean_line(str(room.get("title")), 60)) for room in rooms]
        return [CompletionItem(number, help=title) for number, title in found if number.startswith(incomplete)]
