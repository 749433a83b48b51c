"""Runs a Synapse for the length of a demonstration or a test: loopback only, with SQLite in a temporary folder."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import importlib.util
import json
import logging
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from heliograph.demo import leash
from heliograph.demo.user import DemoUser, request
from heliograph.errors import ServerError, UserError
from heliograph.system.tasks import start

log = logging.getLogger(__name__)

_START_SECONDS = 90.0
_STOP_SECONDS = 10.0
_PORT_ATTEMPTS = 5
_PORTS = range(20000, 32000)
"""Below the ports that Linux gives to outgoing connections, so that a restart finds its own port free again."""
_UNLIMITED = {"per_second": 1_000_000, "burst_count": 1_000_000}


class ThrowawaySynapse:
    """A Synapse of one's own, which is gone with its folder when the block ends. An async context manager.

    The server also ends with the process that started it, however that process ends. Each wait has a time-out. The
    server and the users registered here are bound to no event loop, so that one server can serve tests with a loop
    each.

    `msc3881` switches on Synapse's experiment of that name (pushers with `enabled`). `settings` replace top-level keys
    of homeserver.yaml. `progress` is called with sentences for people who wait. `choose_port` is called again if
    another program took the port first.
    """

    def __init__(
        self,
        *,
        server_name: str = "localhost",
        msc3881: bool = True,
        settings: Mapping[str, object] | None = None,
        progress: Callable[[str], None] | None = None,
        choose_port: Callable[[], int] | None = None,
    ) -> None:
        self.server_name = server_name
        self.port = 0
        self._msc3881 = msc3881
        self._settings = dict(settings or {})
        self._progress = progress or (lambda sentence: log.info("%s", sentence))
        self._choose_port = choose_port or free_port
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._mark = secrets.token_hex(16)
        self._shared_secret = secrets.token_hex(32)

    @property
    def base_url(self) -> str:
        """The base URL of the Client-Server API, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        """The folder of homeserver.yaml, homeserver.db, synapse.log and `access_log`. It goes with the server."""
        assert self._folder is not None
        return self._folder

    @property
    def access_log(self) -> Path:
        """A file with a line for each answered request, in Synapse's "request log format" without a prefix."""
        return self.folder / "access.log"

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> ThrowawaySynapse:
        """Starts the server, and returns when it answers. Raises UserError if Synapse is not installed, or ends while
        it starts."""
        if importlib.util.find_spec("synapse") is None:
            raise UserError(
                "Synapse is not installed, and the demonstration runs one.",
                "Install Heliograph with the extra that brings it: pip install 'heliograph[demo]'",
            )
        began = time.monotonic()
        self._progress("Starting a throwaway Synapse on this machine; this takes a few seconds.")
        self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="heliograph-synapse-"))
        try:
            for attempt in range(1, _PORT_ATTEMPTS + 1):
                self.port = self._choose_port()
                await asyncio.to_thread(self._write_settings)
                try:
                    await self._start()
                    break
                except _PortTaken:
                    if attempt == _PORT_ATTEMPTS:
                        raise UserError("Synapse found no free port on loopback.", "Try again.") from None
        except BaseException:
            await self._clean_up()
            raise
        self._progress(f"Synapse answers at {self.base_url} after {time.monotonic() - began:.1f} s.")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._clean_up()

    async def stop(self) -> None:
        """Ends the server and keeps its data for `start`."""
        await asyncio.to_thread(self._end, _STOP_SECONDS)

    async def kill(self) -> None:
        """Kills the server, as if its machine failed. The data stay for `start`."""
        await asyncio.to_thread(self._end, 0)

    async def start(self) -> None:
        """Starts the server again after `stop` or `kill`, on the same port with the same data."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                return await self._start()
            except _PortTaken:
                if attempt == _PORT_ATTEMPTS:
                    raise UserError(f"Port {self.port} is in use by another program now.", "Try again.") from None
                await asyncio.sleep(attempt)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def register(self, localpart: str, password: str | None = None, admin: bool = False) -> DemoUser:
        """Registers a user, and returns it with its first device. Raises Refused if the name is taken."""
        password = password or secrets.token_urlsafe(12)
        url = f"{self.base_url}/_synapse/admin/v1/register"
        nonce = (await request("GET", url))["nonce"]
        signed = "\0".join((nonce, localpart, password, "admin" if admin else "notadmin"))
        # Synapse's way to register users where registration is closed (its admin API, "Shared-Secret Registration").
        mac = hmac.new(self._shared_secret.encode(), signed.encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": localpart, "password": password, "admin": admin, "mac": mac}
        answer = await request("POST", url, body)
        return DemoUser(self.base_url, answer["user_id"], answer["device_id"], answer["access_token"], password)

    async def _start(self) -> None:
        await asyncio.to_thread(self._spawn)
        deadline = time.monotonic() + _START_SECONDS
        while not await self._answers():
            if self._process is None or self._process.poll() is not None:
                raise await asyncio.to_thread(self._why_it_ended)
            if time.monotonic() > deadline:
                await self.kill()
                raise UserError(
                    f"Synapse did not answer within {_START_SECONDS:.0f} s.",
                    f"Is the machine very busy? Its last words: {await asyncio.to_thread(self._last_words)}",
                )
            await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        """True if this very server answers. Two that start at once may have found the same port free, and another one
        answers there."""
        try:
            answer = await request("GET", f"{self.base_url}/.well-known/matrix/client", seconds=2)
        except ServerError:
            return False
        return isinstance(answer, dict) and answer.get("io.github.heliograph.throwaway") == self._mark

    def _spawn(self) -> None:
        # With NOTIFY_SOCKET, Synapse would tell systemd in our name that the service is ready; and a proxy would be
        # asked for gateways on loopback.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name != "NOTIFY_SOCKET" and not name.lower().endswith("_proxy")
        }
        # Appended to, so that a restart keeps the words of the run before; the last words are read from here on.
        with (self.folder / "synapse.log").open("ab") as output:
            self._log_start = output.tell()
            # -P keeps this folder off the path, whose modules would hide others of the same name.
            program = [sys.executable, "-P", leash.__file__, str(self.folder), "synapse.app.homeserver"]
            self._process = subprocess.Popen(  # noqa: S603
                [*program, "--config-path", str(self.folder / "homeserver.yaml")],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=inherited,
                start_new_session=True,  # Ctrl-C at the terminal is for us, and we end it
            )

    def _end(self, patience: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # Asked first, since only an orderly end has Synapse write all it has; `kill` stands for a failing machine.
        if patience:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
        process.kill()
        process.wait(_STOP_SECONDS)
        assert process.stdin is not None
        process.stdin.close()  # only now: closing it earlier removes the folder

    async def _clean_up(self) -> None:
        # In a thread, since cancelling the caller does not interrupt that: the folder goes in any case.
        cleaning = start(asyncio.to_thread(self._end_and_remove), name="removing the homeserver")
        await asyncio.shield(cleaning)

    def _end_and_remove(self) -> None:
        self._end(_STOP_SECONDS)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _why_it_ended(self) -> Exception:
        words = self._last_words()
        self._end(0)
        if "Failed to listen on TCP port" in words or "Address already in use" in words:
            return _PortTaken()
        return UserError("Synapse ended while it was starting.", f"Its last words: {words}")

    def _last_words(self) -> str:
        try:
            with (self.folder / "synapse.log").open("rb") as output:
                output.seek(max(self._log_start, output.seek(0, os.SEEK_END) - 4000))
                lines = output.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        return "\n".join(line for line in lines[-6:] if line.strip()) or "(none)"

    def _write_settings(self) -> None:
        """Writes homeserver.yaml as JSON, which is YAML as well, so that nothing has to be installed for it."""
        secret = secrets.token_hex(32)
        signing_key = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        settings: dict[str, object] = {
            "server_name": self.server_name,
            "public_baseurl": f"{self.base_url}/",
            "extra_well_known_client_content": {"io.github.heliograph.throwaway": self._mark},
            "listeners": [_listener(self.port)],
            "database": {"name": "sqlite3", "args": {"database": str(self.folder / "homeserver.db")}},
            "media_store_path": str(self.folder / "media"),
            "log_config": str(self.folder / "log.yaml"),
            "signing_key": f"ed25519 a_throwaway {signing_key}",
            "macaroon_secret_key": secret,
            "form_secret": secret,
            "registration_shared_secret": self._shared_secret,
            # What follows saves time, and keeps the server from talking to any other.
            "enable_registration": False,
            "bcrypt_rounds": 4,
            "report_stats": False,
            "presence": {"enabled": False},
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "federation_domain_whitelist": [],
            # Synapse pushes to no private address otherwise, and gateways of tests and of the relay are on loopback.
            "ip_range_whitelist": ["127.0.0.1/32"],
            "experimental_features": {"msc3881_enabled": self._msc3881},
            **_rate_limits(),
            **self._settings,
        }
        (self.folder / "log.yaml").write_text(json.dumps(_logging(self.access_log)))
        (self.folder / "homeserver.yaml").write_text(json.dumps(settings, indent=1))


def _logging(access_log: Path) -> dict[str, object]:
    """log.yaml: warnings to standard error, and each request into a file of its own."""
    return {
        "version": 1,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
            "access": {"class": "logging.FileHandler", "filename": str(access_log)},
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {"synapse.access": {"level": "INFO", "handlers": ["access"], "propagate": False}},
        "disable_existing_loggers": False,
    }


def _listener(port: int) -> dict[str, object]:
    return {
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "type": "http",
        "tls": False,
        "resources": [{"names": ["client"], "compress": False}],
    }


class _PortTaken(Exception):
    """Another program took the port between our choice and Synapse's bind(2)."""


def _rate_limits() -> dict[str, object]:
    flat = ("message", "registration", "admin_redaction", "joins_per_room", "room_creation", "media_create", "reports")
    parts = {
        "login": ("address", "account", "failed_attempts"),
        "joins": ("local", "remote"),
        "invites": ("per_room", "per_user", "per_issuer"),
        "presence": ("per_user",),
    }
    limits: dict[str, object] = {f"rc_{name}": _UNLIMITED for name in flat}
    return limits | {f"rc_{name}": dict.fromkeys(names, _UNLIMITED) for name, names in parts.items()}


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago. Raises UserError."""
    for _ in range(100):
        port = random.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise UserError("No free port was found on loopback.", "Close some programs and try again.")
