"""Reads the secret from a credential that systemd hands to the unit (LoadCredential=, systemd.exec(5))."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

from heliograph.errors import EXIT_CONFIG, StateError, UserError
from heliograph.ports.secrets import SecretStore

_MAX_SECRET = 64 * 1024


class Credential:
    """Reads the credential `heliograph-alice@example.org` for @alice:example.org; without one, uses `otherwise`.

    `folder` is the value of $CREDENTIALS_DIRECTORY. `save` and `delete` raise UserError if there is a credential, since
    only the unit's settings can change that.
    """

    def __init__(self, folder: Path, otherwise: SecretStore) -> None:
        self._folder = folder
        self._otherwise = otherwise
        self.name = otherwise.name

    async def load(self, user_id: str) -> str | None:
        text = await self._read(user_id)
        return await self._otherwise.load(user_id) if text is None else text

    async def wait_unlocked(self, user_id: str) -> None:
        if await self._read(user_id) is None:
            await self._otherwise.wait_unlocked(user_id)

    async def save(self, user_id: str, secret: str) -> None:
        await self._refuse_change(user_id)
        await self._otherwise.save(user_id, secret)

    async def delete(self, user_id: str) -> None:
        await self._refuse_change(user_id)
        await self._otherwise.delete(user_id)

    async def _read(self, user_id: str) -> str | None:
        return await asyncio.to_thread(_read, self._folder / credential_name(user_id))

    async def _refuse_change(self, user_id: str) -> None:
        if await self._read(user_id) is not None:
            raise UserError(
                f"The secret of {user_id} is a credential of systemd, which only the unit's settings can change.",
                f"Change the line LoadCredential={credential_name(user_id)}:... of the unit.",
                exit_code=EXIT_CONFIG,
            )


def credential_name(user_id: str) -> str:
    """The credential's name for this user. It is percent-encoded, since systemd allows no colon there."""
    localpart, _, server_name = user_id.removeprefix("@").partition(":")
    return f"heliograph-{quote(localpart, safe='', errors='replace')}@{quote(server_name, safe='', errors='replace')}"


def _read(file: Path) -> str | None:
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_SECRET).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"The credential {file} cannot be read: {error}.", "Look at the unit's settings.") from error
