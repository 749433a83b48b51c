"""`heliograph config`."""

from __future__ import annotations

import click


@click.command("config", short_help="Show the configuration that is in force.")
@click.option("--path", "only_path", is_flag=True, help="Only say where the file is, or would be.")
def command(only_path: bool) -> None:
    """Print the configuration that is in force, with an explanation of every line.

    What is printed is itself a valid configuration file.

    \b
    Example:
      heliograph config > "$(heliograph config --path)"
    """
    from heliograph.accounts import config_file
    from heliograph.config import load_config, render_config

    click.echo(str(config_file()) if only_path else render_config(load_config()), nl=only_path)
