"""The commands. Each one imports what it needs only when it runs, so that `heliograph --help` answers at once."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from heliograph import __version__
from heliograph.cli.input.group import Group
from heliograph.cli.output.encoding import take_any_text
from heliograph.errors import HeliographError

_SECTIONS = {
    "Core": ("run", "status", "demo"),
    "Notifications": ("inbox", "history", "pause", "resume"),
    "Push rules": ("rules", "explain"),
    "Account": ("login", "logout", "accounts", "verify"),
    "Other devices": ("pushers", "fallback", "handoff"),
    "Set-up": ("service", "config", "doctor", "test", "tray", "completion", "man"),
    "Server": ("relay",),
}

_EPILOG = """\b
Exit codes:
    0  all went well
    1  it failed; the reason is on standard error
    2  the command was not understood
   77  signed out softly: `heliograph login` brings the device back
   78  no account, or configuration or state that cannot work
  130  interrupted with Ctrl-C
"""
_EXIT_INTERRUPTED = 130
_WITHOUT_STATE = ("run", "demo", "completion", "man", "relay", "test", "tray")
"""Commands that look at no account. All others first destroy outdated keys, which `run` leaves to the daemon."""


class Commands(Group):
    """A group that loads a command's module when the command is typed, and turns failures into two lines and an exit
    code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in _SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"heliograph.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, names in _SECTIONS.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                assert command is not None
                rows.append((name, command.get_short_help_str(80)))
            with formatter.section(section):
                formatter.write_dl(rows)

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except OSError as error:
            from heliograph.cli.output.failure import explain_disk

            # click itself ends quietly for a reader that reads no more (EPIPE), so this is the disk.
            _drop_output()
            sys.exit(explain_disk(error, sys.stderr))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HeliographError as error:
            from heliograph.cli.output.failure import explain_failure

            ctx.exit(explain_failure(error, sys.stderr))
        except (KeyboardInterrupt, click.Abort):
            click.echo(err=True)
            ctx.exit(_EXIT_INTERRUPTED)


def _drop_output() -> None:
    """Drops output that could not be written. Python would try to write it again at exit, and fail with a traceback."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(__version__, "-V", "--version", prog_name="heliograph")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Matrix notifications straight from the homeserver to the desktop.

    \b
    To begin:  heliograph login @you:example.org
               heliograph service install
    """
    if ctx.invoked_subcommand not in _WITHOUT_STATE:
        from heliograph.cli.accounts.outdated_keys import destroy_outdated_keys

        destroy_outdated_keys()


def main() -> None:
    """Runs `heliograph` as typed: the entry point of the console script."""
    if "_HELIOGRAPH_COMPLETE" in os.environ:
        # Has click know our scripts before it answers the shell, which asks by this variable and runs no command.
        importlib.import_module("heliograph.cli.completion.scripts")
    take_any_text(sys.stdout)
    commands(prog_name="heliograph")
