"""Groups of commands that say what was likely meant when a command was misspelled."""

from __future__ import annotations

import difflib

import click

_LIKE = 0.6
_MOST = 3


class Group(click.Group):
    """click's group, with "Did you mean ...?" for commands as click has it for options."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word.startswith("-") or self.get_command(ctx, word) is not None:
            return super().resolve_command(ctx, args)
        like = difflib.get_close_matches(word.lower(), self.list_commands(ctx), n=_MOST, cutoff=_LIKE)
        guess = f" Did you mean {' or '.join(like)}?" if like else ""
        ctx.fail(f"No such command {word[:100]!r}.{guess}")


Group.group_class = Group
