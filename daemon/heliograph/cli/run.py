"""`heliograph run`."""

from __future__ import annotations

import asyncio

import click

from heliograph.errors import EXIT_CONFIG, EXIT_NEEDS_LOGIN, UserError


@click.command("run", short_help="Show notifications until stopped (what the service runs).")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Stay connected to the homeserver of every account, and show what should ring.

    Runs in the foreground until it is interrupted. `heliograph service install` has it run in the background, from the
    next login on.

    \b
    Example:
      heliograph run
    """
    try:
        code = _run()
    except UserError as error:
        if error.exit_code in (EXIT_CONFIG, EXIT_NEEDS_LOGIN):
            # systemd does not start the daemon again after these, and the user seldom looks at a log: so a notification
            # says why the daemon ends.
            _say_last(error)
        raise
    ctx.exit(code)


def _run() -> int:
    from heliograph.accounts import list_accounts
    from heliograph.config.reading import load_config
    from heliograph.system import logs
    from heliograph.system.core_dumps import forbid_core_dumps

    # Before any secret is in memory.
    forbid_core_dumps()
    config = load_config()
    logs.set_up_log(config.log.level)
    # Looked for before the daemon's modules are loaded: without an account there is nothing to start.
    accounts = list_accounts()
    if not accounts:
        raise UserError(
            "No account has signed in on this machine.", "heliograph login @you:example.org", exit_code=EXIT_CONFIG
        )
    from heliograph.app import daemon

    return asyncio.run(daemon.run_daemon(config, accounts))


def _say_last(error: UserError) -> None:
    from heliograph.desktop.last_words import say_last_words
    from heliograph.system.logs import scrub

    asyncio.run(say_last_words("Heliograph cannot start", scrub(f"{error.title} {error.hint}")))
