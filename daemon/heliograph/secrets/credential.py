"""The secret as systemd hands it to the unit (LoadCredential=, systemd.exec(5)). Read-only."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from heliograph.errors import EXIT_CONFIG, StateError, UserError

MAX_SECRET = 64 * 1024


class Credential:
    """The credential `heliograph-alice@example.org`, for @alice:example.org."""

    name = "credential"

    @staticmethod
    def is_given(user_id: str) -> bool:
        """systemd gave one for this account."""
        file = _file(user_id)
        return file is not None and file.is_file()

    async def load(self, user_id: str) -> str | None:
        file = _file(user_id)
        if file is None:
            return None
        try:
            with file.open("rb") as stream:
                return stream.read(MAX_SECRET).decode()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StateError(
                f"The credential {file} cannot be read: {error}.", "Look at the unit's settings."
            ) from error

    async def wait_unlocked(self, user_id: str) -> None:
        """Nothing here is ever locked."""

    async def save(self, user_id: str, secret: str) -> None:
        raise _read_only(user_id)

    async def delete(self, user_id: str) -> None:
        raise _read_only(user_id)


def credential_name(user_id: str) -> str:
    """The credential's name: systemd allows no colon in one."""
    localpart, _, server_name = user_id.removeprefix("@").partition(":")
    return f"heliograph-{quote(localpart, safe='', errors='replace')}@{quote(server_name, safe='', errors='replace')}"


def _file(user_id: str) -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) / credential_name(user_id) if folder else None


def _read_only(user_id: str) -> UserError:
    return UserError(
        f"The secret of {user_id} is a credential of systemd, which only the unit's settings can change.",
        f"Change the line LoadCredential={credential_name(user_id)}:... of the unit.",
        exit_code=EXIT_CONFIG,
    )
