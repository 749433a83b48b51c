"""Groups of commands that guess which command was meant by a misspelled one."""

from __future__ import annotations

import click

_LIKE = 0.6
_MOST = 3


class Group(click.Group):
    """A click.Group that says "Did you mean ...?" for commands, as click itself does for options."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word.startswith("-") or self.get_command(ctx, word) is not None:
            return super().resolve_command(ctx, args)
        import difflib

        like = difflib.get_close_matches(word.lower(), self.list_commands(ctx), n=_MOST, cutoff=_LIKE)
        guess = f" Did you mean {' or '.join(like)}?" if like else ""
        ctx.fail(f"No such command {word[:100]!r}.{guess}")


# Set after the class, which does not exist within its own body: subgroups guess as their parents do.
Group.group_class = Group
