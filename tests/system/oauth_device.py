"""A device that was signed in by OAuth 2.0, as `heliograph login` keeps it."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

from heliograph.accounts import Account, OAuth, save_account, state_folder
from heliograph.core.ids import UserId
from heliograph.core.oauth.token_answer import TokenGrant
from heliograph.demo.user import DemoUser
from heliograph.secrets.secret import Secret
from heliograph.secrets.token_file import TokenFile, keep_grant
from heliograph.system.clock import now_ms
from support.auth_server.server import AuthServer
from support.auth_server.sessions import Session


@dataclass(frozen=True)
class OAuthDevice:
    account: Account
    secret: Secret
    session: Session
    """As the auth server has it."""


async def sign_in_by_oauth(auth_server: AuthServer, localpart: str) -> OAuthDevice:
    """Signs this user in. account.json and the tokens are kept; where the secret goes is for the caller to say."""
    device_id = f"HELIOGRAPH{secrets.token_hex(3).upper()}"
    client_id, answer = await auth_server.sign_in(localpart, device_id)
    account = Account(
        user_id=UserId(f"@{localpart}:localhost"),
        device_id=device_id,
        homeserver=auth_server.url,
        secrets="file",
        pushkey=f"pushkey-{device_id}",
        oauth=OAuth(
            issuer=f"{auth_server.url}/",
            client_id=client_id,
            token_endpoint=f"{auth_server.url}/oauth2/token",
            revocation_endpoint=f"{auth_server.url}/oauth2/revoke",
        ),
    )
    secret = Secret(pickle_key=secrets.token_urlsafe(32))
    grant = TokenGrant(answer["access_token"], answer["refresh_token"], answer["expires_in"])
    await asyncio.to_thread(_keep, account, secret, grant)
    session = auth_server.sessions.access_tokens[grant.access_token].session
    return OAuthDevice(account, secret, session)


def _keep(account: Account, secret: Secret, grant: TokenGrant) -> None:
    save_account(account)
    tokens = TokenFile(state_folder(account.user_id), account.user_id, secret.pickle_key)
    tokens.save(keep_grant(grant, now_ms()))


def hand_over_credential(folder: Path, device: OAuthDevice) -> None:
    """Puts the secret where systemd puts a credential, and lets nobody write there."""
    folder.mkdir()
    name = f"heliograph-{device.account.user_id.removeprefix('@').replace(':', '@')}"
    (folder / name).write_text(device.secret.encode())
    (folder / name).chmod(0o400)
    folder.chmod(0o500)


async def someone(auth_server: AuthServer, localpart: str) -> DemoUser:
    """Another user of that homeserver, with an access token that lasts."""
    token = await auth_server.grant(localpart, "SOMEPHONE1", is_oauth=False)
    return DemoUser(auth_server.url, UserId(f"@{localpart}:localhost"), "SOMEPHONE1", token, "")
