"""A user of a homeserver that signs in by OAuth 2.0, at a desktop of their own."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heliograph.accounts import Account, find_account
from heliograph.core.ids import UserId
from heliograph.demo.user import request
from support.auth_server.server import AuthServer
from support.waiting import until
from system.command import Ended, heliograph


@dataclass(frozen=True)
class Person:
    """Known to the auth server from the start."""

    auth_server: AuthServer
    localpart: str
    password: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.auth_server.passwords[self.localpart] = self.password

    @property
    def user_id(self) -> UserId:
        return UserId(f"@{self.localpart}:localhost")

    async def log_in(self, *options: str, typed: str = "") -> Ended:
        words = ("login", self.user_id, "--homeserver", self.auth_server.url, "--secrets", "file", *options)
        return await heliograph(*words, typed=typed)

    async def account(self) -> Account:
        account = await asyncio.to_thread(find_account, self.user_id)
        assert account is not None
        return account

    async def whoami(self, access_token: str) -> str:
        """The device of an access token. Raises Refused."""
        url = f"{self.auth_server.url}/_matrix/client/v3/account/whoami"
        return str((await request("GET", url, token=access_token))["device_id"])

    async def devices(self, access_token: str) -> dict[str, str]:
        """The names of the user's devices, by their ids."""
        url = f"{self.auth_server.url}/_matrix/client/v3/devices"
        listed = (await request("GET", url, token=access_token))["devices"]
        return {each["device_id"]: each.get("display_name", "") for each in listed}

    def tokens(self) -> list[str]:
        """The user's access tokens, the newest last."""
        given = self.auth_server.sessions.access_tokens.items()
        return [token for token, each in given if each.session.localpart == self.localpart]


class Desktop:
    """Where a browser opens, which is told of each URL."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder / "bin"
        self._folder.mkdir()
        self._opened = folder / "opened"
        monkeypatch.setenv("PATH", f"{self._folder}:{os.environ['PATH']}")
        monkeypatch.setenv("DISPLAY", ":99")

    def sign_in_as(self, person: Person, *, answer: str = "allow") -> None:
        """From now on the browser fills in each form in this name, and follows where that leads."""
        form = {"user": person.localpart, "password": person.password, "answer": answer}
        self._program(
            "from urllib.parse import urlencode\n"
            "from urllib.request import urlopen\n"
            "urlopen(sys.argv[1]).read()\n"
            f"urlopen(sys.argv[1], urlencode({form!r}).encode()).read()\n"
        )

    def note_urls(self) -> Callable[[], Awaitable[str]]:
        """From now on the browser does nothing. Gives what waits for the next URL."""
        self._program(f"open({str(self._opened)!r} + '.new', 'w').write(sys.argv[1])\n", rename=self._opened)
        self._opened.unlink(missing_ok=True)

        async def url() -> str:
            await until(self._opened.exists, "a URL for the browser")
            return await asyncio.to_thread(self._opened.read_text)

        return url

    def _program(self, text: str, rename: Path | None = None) -> None:
        program = self._folder / "xdg-open"
        last = f"import os; os.rename({str(rename)!r} + '.new', {str(rename)!r})\n" if rename else ""
        program.write_text(f"#!{sys.executable}\nimport sys\n{text}{last}")
        program.chmod(0o755)
