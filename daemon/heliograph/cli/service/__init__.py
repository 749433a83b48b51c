"""`heliograph service`."""

from __future__ import annotations

from typing import Literal

import click

from heliograph.cli.input.group import Group


@click.group("service", cls=Group, short_help="Have it run in the background, from every login on.")
def command() -> None:
    """Install, remove or look at the systemd user service.

    \b
    Example:
      heliograph service install
    """


@command.command("install")
@click.option("--no-start", is_flag=True, help="Start it at the next login only.")
@click.option(
    "--target",
    type=click.Choice(["graphical-session", "default"]),
    default="graphical-session",
    show_default=True,
    help="What it starts with. Sessions of plain i3 or sway do not reach graphical-session: take default there.",
)
def install(no_start: bool, target: Literal["graphical-session", "default"]) -> None:
    """Install the service for this user, and start it. Again is harmless, and brings it up to date.

    \b
    Example:
      heliograph service install --target default
    """
    from heliograph.accounts import cache_root, list_accounts, make_private_folder, state_root
    from heliograph.cli.service import systemctl
    from heliograph.cli.service.unit import find_program, leave_unit_file, render_leave_unit, render_unit, unit_file
    from heliograph.desktop.integration import install_integration

    systemctl.require_user_manager()
    program = find_program()
    with_namespaces = systemctl.allows_namespaces()
    # Made here, since the sandbox lets the service write into these folders, but not create them.
    for folder in (state_root(), cache_root()):
        make_private_folder(folder)
    # Before the unit that names it in OnFailure=, so that this one is never installed alone.
    systemctl.write_unit(leave_unit_file(), render_leave_unit(program, with_namespaces=with_namespaces))
    systemctl.write_unit(unit_file(), render_unit(program, target, with_namespaces=with_namespaces))
    install_integration(program)
    systemctl.enable()
    click.echo(f"Installed {unit_file()}")
    if not with_namespaces:
        click.echo("This system forbids user namespaces: the unit goes without that part of its sandbox.", err=True)
    if target == "graphical-session" and not systemctl.is_active("graphical-session.target"):
        click.echo(
            "graphical-session.target is not active here. If your session never starts it (plain i3, sway), use: "
            "heliograph service install --target default",
            err=True,
        )
    if no_start:
        return
    # Without an account the daemon ends at once with EXIT_CONFIG, and the fresh service would stand as failed.
    if not list_accounts():
        click.echo("Not started: no account yet. Then: heliograph login @you:example.org, and")
        click.echo("systemctl --user start heliograph")
        return
    systemctl.restart()
    click.echo("Heliograph runs. See: heliograph status")


@command.command("remove")
def remove() -> None:
    """Stop the service, and remove what `install` wrote. Accounts stay signed in.

    \b
    Example:
      heliograph service remove
    """
    from heliograph.cli.service import systemctl
    from heliograph.cli.service.unit import leave_unit_file, unit_file
    from heliograph.desktop.integration import remove_integration

    removed = systemctl.remove_units(unit_file(), leave_unit_file())
    remove_integration()
    click.echo(f"Removed {unit_file()}" if removed else "The service was not installed.")


@command.command("status")
@click.pass_context
def status(ctx: click.Context) -> None:
    """Show what systemd says of the service, its last log lines among it.

    \b
    Example:
      heliograph service status
    """
    from heliograph.cli.service import systemctl

    systemctl.require_user_manager()
    ctx.exit(systemctl.show_status())
