"""Signs in in the older ways of /login: with a password, or by single sign-on in the browser."""

from __future__ import annotations

import sys

import click

from heliograph.accounts import device_name
from heliograph.cli.login.browser import BROWSER_S, has_display, open_browser
from heliograph.cli.login.ways import Proven, Way
from heliograph.core.ids import UserId
from heliograph.errors import EXIT_USAGE, UserError
from heliograph.homeserver.flows import Flow, OfferedFlows, login_flows
from heliograph.homeserver.login import log_in_with_password, log_in_with_token
from heliograph.homeserver.session import Session
from heliograph.homeserver.sso import BrowserSignIn


async def sign_in_in_older_way(
    session: Session, user_id: UserId, device_id: str | None, *, way: Way, password: str
) -> Proven:
    """Signs in a device, the one with this id if there is one. `password` was piped in, if `way` says so. Raises
    UserError."""
    # The server's ways of signing in are asked first, so that nobody types a password that it does not take.
    offered = await login_flows(session)
    name = device_name()
    if _is_by_password(session.homeserver_url, offered, way):
        typed = password if way is Way.PASSWORD else _ask_password(user_id)
        return Proven(await log_in_with_password(session, user_id, typed, device_name=name, device_id=device_id))
    async with BrowserSignIn(session) as browser:
        open_browser(browser.url)
        if Flow.PASSWORD in offered.flows and not has_display():
            click.echo(f"Without a browser: heliograph login {user_id} --password-stdin")
        token = await browser.login_token(BROWSER_S)
    return Proven(await log_in_with_token(session, user_id, token, device_name=name, device_id=device_id))


def _is_by_password(homeserver_url: str, offered: OfferedFlows, way: Way) -> bool:
    if way is Way.PASSWORD and Flow.PASSWORD not in offered.flows:
        raise UserError(
            f"{homeserver_url} takes no passwords.", "Leave out --password-stdin, to sign in in the browser."
        )
    if way is Way.SSO and Flow.SSO not in offered.flows:
        raise UserError(f"{homeserver_url} has no sign-in in the browser.", "Leave out --sso.")
    # Where single sign-on is preferred, nobody is asked for a password that the user may not have.
    # Test: test_no_password_is_asked_for_where_the_server_prefers_the_browser.
    return way is Way.PASSWORD or (way is not Way.SSO and Flow.PASSWORD in offered.flows and not offered.prefers_sso)


def _ask_password(user_id: str) -> str:
    if not sys.stdin.isatty():
        raise UserError(
            "There is no terminal to ask for the password.",
            "Pipe it in with --password-stdin, or use --sso.",
            exit_code=EXIT_USAGE,
        )
    password: str = click.prompt(f"Password of {user_id}", hide_input=True, err=True)
    return password
