"""Signs in by OAuth 2.0: in the browser on this machine, or with a code that is entered in any other."""

from __future__ import annotations

import asyncio
import contextlib

import click

from heliograph.accounts import OAuth
from heliograph.cli.login.browser import BROWSER_S, has_display, open_browser
from heliograph.cli.login.qr_code import show_qr_code
from heliograph.cli.login.ways import OAuthTokens, Proven, Way
from heliograph.core.ids import UserId
from heliograph.core.oauth.token_answer import Ended, Granted, TokenAnswer, TokenGrant
from heliograph.errors import LoggedOut, ServerError, UserError
from heliograph.homeserver.login import Device, recognise
from heliograph.homeserver.oauth.authorization_code import BrowserAuthorization
from heliograph.homeserver.oauth.device_code import ask_device_code, wait_for_entry
from heliograph.homeserver.oauth.metadata import AuthServer
from heliograph.homeserver.oauth.registration import register
from heliograph.homeserver.oauth.token_endpoint import OAuthTokenEndpoint
from heliograph.homeserver.session import Session
from heliograph.system.clock import now_ms

_REVOKE_S = 20.0
"""How long the end of a session may take that is not wanted."""


async def sign_in_by_oauth(
    session: Session, server: AuthServer, user_id: UserId, device_id: str, *, way: Way
) -> Proven:
    """Signs this device in, and makes it the session's. Raises UserError; nothing is left at the server then."""
    client_id = await register(server)
    endpoint = OAuthTokenEndpoint(server.token_endpoint, server.revocation_endpoint, client_id)
    if way is Way.DEVICE_CODE or (server.gives_device_codes and not has_display()):
        grant = await _by_device_code(server, endpoint, device_id)
    else:
        grant = await _in_browser(server, endpoint, user_id, device_id)
    asked_ms = now_ms()
    try:
        device = await _check(session, server, grant, user_id, device_id)
    except BaseException:
        await revoke_quietly(endpoint, grant.refresh_token or grant.access_token)
        raise
    oauth = OAuth(
        issuer=server.issuer,
        client_id=client_id,
        token_endpoint=server.token_endpoint,
        revocation_endpoint=server.revocation_endpoint,
        account_management_uri=server.account_management_uri,
        account_management_actions=server.account_management_actions,
    )
    return Proven(device, OAuthTokens(oauth, grant, asked_ms))


async def revoke_quietly(endpoint: OAuthTokenEndpoint, token: str) -> None:
    """Ends a session that is not wanted. What remains of it the user finds among the account's sessions."""
    with contextlib.suppress(ServerError, TimeoutError):
        async with asyncio.timeout(_REVOKE_S):
            await endpoint.revoke(token)


async def _in_browser(server: AuthServer, endpoint: OAuthTokenEndpoint, user_id: UserId, device_id: str) -> TokenGrant:
    async with BrowserAuthorization(server, endpoint.client_id, user_id, device_id) as browser:
        open_browser(browser.url)
        if server.gives_device_codes:
            click.echo(f"To sign in on another machine or a phone: heliograph login {user_id} --device-code")
        code = await browser.code(BROWSER_S)
    return _granted(await endpoint.redeem_code(code), server)


async def _by_device_code(server: AuthServer, endpoint: OAuthTokenEndpoint, device_id: str) -> TokenGrant:
    code = await ask_device_code(server, endpoint.client_id, device_id)
    click.echo("Open this page in a browser, on any machine or phone:")
    click.echo(f"  {code.verification_uri}")
    click.echo(f"and enter this code there: {click.style(code.user_code, bold=True)}")
    show_qr_code(code.complete_uri or code.verification_uri)
    click.echo(f"Enter it only there. It is good for {max(1, round(code.life_s / 60))} min; waiting for you ...")
    return await wait_for_entry(endpoint, code)


def _granted(answer: TokenAnswer, server: AuthServer) -> TokenGrant:
    match answer:
        case Granted(grant=grant):
            return grant
        case Ended(code=code):
            raise UserError(
                f"{server.issuer} did not accept what the browser brought ({code}).",
                "Sign in again, with the same command.",
            )
    # The code may have been used up by the question, so that asking again is no use.
    raise UserError(
        f"{server.issuer} gave no tokens for what the browser brought: {answer.why}.",
        "Sign in again, with the same command.",
    )


async def _check(session: Session, server: AuthServer, grant: TokenGrant, user_id: UserId, device_id: str) -> Device:
    """The device, after the homeserver has said that the tokens are of this user and this device."""
    if grant.refresh_token is None:
        raise UserError(
            f"{server.issuer} gives no refresh token, so that the sign-in would end within minutes.",
            "Tell whoever runs the server.",
        )
    session.sign_in(access_token=grant.access_token, user_id=user_id, device_id=device_id)
    try:
        device = await recognise(session, user_id)
    except LoggedOut:
        raise UserError(
            f"{session.homeserver_url} does not take the tokens that {server.issuer} gives.",
            "Try again in some minutes; if it stays so, tell whoever runs the server.",
        ) from None
    if device.device_id != device_id:
        raise UserError(
            f"{server.issuer} signed in another device than the one that was asked for, so it was signed out again.",
            "Tell whoever runs the server.",
        )
    return device
