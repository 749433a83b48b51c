"""`heliograph relay check`: asks with an account, prints the findings, and ends a sign-in of its own."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import click

from heliograph.cli.output.findings import print_finding
from heliograph.core.oauth.authorization import make_device_id
from heliograph.errors import ServerError, UserError
from heliograph.homeserver.oauth.device_code import ask_device_code, wait_for_entry
from heliograph.homeserver.oauth.metadata import AuthServer, find_auth_server
from heliograph.homeserver.oauth.registration import register
from heliograph.homeserver.oauth.token_endpoint import OAuthTokenEndpoint
from heliograph.homeserver.session import Session
from heliograph.relay.check.check import check_relay
from heliograph.relay.check.signing_in import Credentials
from heliograph.relay.config import RelayConfig


async def report(config: RelayConfig, credentials: Credentials, public_url: str, folder: Path) -> bool:
    """Prints what the check finds. Returns True if nothing of it is bad."""
    return all([print_finding(finding) async for finding in check_relay(config, credentials, public_url, folder)])


async def report_by_device_code(config: RelayConfig, public_url: str, folder: Path) -> bool:
    """As `report`, with a session of OAuth 2.0 that lasts as long as the check. Raises UserError."""
    async with _signed_in(await _find(config.homeserver)) as access_token:
        return await report(config, Credentials(token=access_token), public_url, folder)


async def _find(homeserver: str) -> AuthServer:
    session = Session(homeserver)
    try:
        server = await find_auth_server(session)
    except ServerError as error:
        raise UserError(f"{homeserver} does not tell how its users sign in: {error}.", "Is it running?") from error
    finally:
        await session.close()
    if server is None:
        raise UserError(f"Users of {homeserver} do not sign in by OAuth 2.0.", "Give --user instead of --device-code.")
    return server


@contextlib.asynccontextmanager
async def _signed_in(server: AuthServer) -> AsyncIterator[str]:
    """The access token of a new device, which ends with the block."""
    client_id = await register(server)
    endpoint = OAuthTokenEndpoint(server.token_endpoint, server.revocation_endpoint, client_id)
    code = await ask_device_code(server, client_id, make_device_id(secrets.token_bytes(12)))
    click.echo(f"Open {code.verification_uri} in a browser, sign in as any user, and enter {code.user_code}")
    grant = await wait_for_entry(endpoint, code)
    try:
        yield grant.access_token
    finally:
        try:
            await endpoint.revoke(grant.refresh_token or grant.access_token)
        except ServerError as error:
            click.echo(
                f"The check's sign-in could not be ended: {error}. It stands as Heliograph on the account's page: "
                f"{server.account_management_uri or server.issuer}",
                err=True,
            )
