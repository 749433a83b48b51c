"""`heliograph rules`: see and change the account's push rules. Each subcommand is loaded when it is typed."""

from __future__ import annotations

import importlib

import click

from heliograph.cli.input.group import Group

_COMMANDS = {
    "list": "listing:command",
    "check": "check:command",
    "keyword": "keyword:command",
    "mute": "rooms:mute",
    "unmute": "rooms:unmute",
    "mentions-only": "rooms:mentions_only",
    "mute-user": "users:mute_user",
    "unmute-user": "users:unmute_user",
    "enable": "switch:enable",
    "disable": "switch:disable",
    "add": "add:command",
    "remove": "switch:remove",
}
"""For each word on the command line: the module in this package, and the name of the command there."""


class RuleCommands(Group):
    """A group that loads a subcommand's module when that subcommand is typed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        return command


@click.command("rules", cls=RuleCommands, short_help="See and change what rings.")
def command() -> None:
    """See and change your push rules: what rings, and how loudly.

    They live on your homeserver, so every client of yours goes by them. Changes hold at once.

    \b
    Example:
      heliograph rules list
    """
