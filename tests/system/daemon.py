"""The daemon as a process of its own, for an account on the test's homeserver."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from heliograph.accounts import Account, save_account, state_folder
from heliograph.demo.user import DemoUser
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret, decode_secret
from support.log_guard import watch
from support.waiting import until

LAUNCHER = Path(__file__).parent / "launcher.py"
STOP_S = 15
PATIENCE_S = 60
"""A start takes a second, on a machine that has nothing else to do."""


async def sign_in(user: DemoUser) -> Account:
    """Heliograph on a device of its own for this user, signed in and kept as `heliograph login` keeps it."""
    device = await user.login_again("Heliograph under test")
    account = Account(
        user_id=device.user_id,
        device_id=device.device_id,
        homeserver=device.base_url,
        secrets="file",
        pushkey=f"pushkey-{device.device_id}",
    )
    await asyncio.to_thread(save_account, account)
    await open_secrets("file").save(
        account.user_id, Secret(access_token=device.access_token, pickle_key="test").encode()
    )
    return account


async def session_of(user: DemoUser, account: Account) -> DemoUser:
    """What Heliograph's own device may do."""
    secret = decode_secret(user.user_id, str(await open_secrets("file").load(user.user_id)))
    return DemoUser(user.base_url, user.user_id, account.device_id, secret.access_token, user.password)


class Daemon:
    """`heliograph run` in the test's environment. `words` go to the launcher, which can stop it at a named step.

    `prefix` is a command that runs it.
    """

    def __init__(self, *words: str, launcher: Path = LAUNCHER, prefix: Sequence[str] = ()) -> None:
        self._words = words
        self._program = [*prefix, "setpriv", "--pdeathsig", "KILL", sys.executable, str(launcher)]
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path(os.environ["HOME"]) / "daemon.log"
        self._log_start = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def log(self) -> str:
        """What this run wrote so far."""
        with self._log.open("rb") as stream:
            stream.seek(self._log_start)
            return stream.read().decode(errors="replace")

    async def __aenter__(self) -> Daemon:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            await self.kill()

    async def start(self, *, until_connected: bool = True, words: Sequence[str] | None = None) -> None:
        """Starts it, and waits until it is connected to the homeserver."""
        words = self._words if words is None else words
        watch("daemon", self._log)
        await asyncio.to_thread(self._spawn, words)
        if until_connected:
            await until(self._is_connected, "the connection to the homeserver", PATIENCE_S)

    def _spawn(self, words: Sequence[str]) -> None:
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _is_connected(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the daemon ended: {self.log}"
        return "is connected to" in self.log

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """SIGKILL, as when the machine fails."""
        assert self._process is not None
        self._process.kill()
        await self.ended()

    def freeze(self) -> None:
        """SIGSTOP: it neither runs nor ends."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def ended(self) -> int:
        """The exit code, once it has ended by itself; negative: the signal that ended it."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, STOP_S)


def account_folder(account: Account) -> Path:
    """Where the account's ledger is."""
    return state_folder(account.user_id)
