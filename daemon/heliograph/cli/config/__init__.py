"""`heliograph config`."""

from __future__ import annotations

import asyncio

import click


@click.command("config", short_help="Show every setting, with its value and what it means.")
@click.option("--path", "only_path", is_flag=True, help="Only say where the file is, or would be.")
def command(only_path: bool) -> None:
    """Print every setting with its value, from the configuration file or by default, and with an explanation.

    What is printed is itself a valid configuration file. The daemon reads the file when it starts.

    \b
    Example:
      heliograph config > "$(heliograph config --path)"
    """
    from heliograph.accounts import config_file

    if only_path:
        click.echo(str(config_file()))
        return
    from heliograph.accounts import list_accounts
    from heliograph.app.configured_names import read_names
    from heliograph.config.printing import render_config
    from heliograph.config.reading import load_config

    config = load_config()
    click.echo(render_config(config, asyncio.run(read_names(config, list_accounts()))), nl=False)
