"""A real gnome-keyring on a bus of its own, with a login collection that a test can lock and unlock."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

_SERVICE = "org.freedesktop.secrets"
_ROOT = "/org/freedesktop/secrets"
_LOGIN = "/org/freedesktop/secrets/collection/login"
_PASSWORD = b"keyring password"


class PrivateKeyring:
    """Its lock, in the hands of a test. It has no prompter: a question to the user is dismissed at once."""

    def __init__(self, bus_address: str, home: Path) -> None:
        self.bus_address = bus_address
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it unlocked, as a login would."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),
            "XDG_RUNTIME_DIR": str(self._home),
            "DBUS_SESSION_BUS_ADDRESS": self.bus_address,
        }
        self._process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "gnome-keyring-daemon",
                "--foreground",
                "--unlock",
                "--components=secrets",
            ],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(_PASSWORD)
        self._process.stdin.close()
        deadline = time.monotonic() + 20
        while not self._is_there():
            assert time.monotonic() < deadline, "gnome-keyring-daemon did not start"
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _is_there(self) -> bool:
        command = ["dbus-send", f"--bus={self.bus_address}", "--print-reply=literal", "--dest=org.freedesktop.DBus"]
        command += ["/", "org.freedesktop.DBus.NameHasOwner", f"string:{_SERVICE}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1] == "true"

    async def lock(self) -> None:
        async with _bus(self.bus_address) as bus:
            await _call(bus, "org.freedesktop.Secret.Service", "Lock", "ao", [_LOGIN])

    async def unlock(self) -> None:
        async with _bus(self.bus_address) as bus:
            _, session = await _call(
                bus, "org.freedesktop.Secret.Service", "OpenSession", "sv", "plain", Variant("s", "")
            )
            await _call(
                bus,
                "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface",
                "UnlockWithMasterPassword",
                "o(oayays)",
                _LOGIN,
                [session, b"", _PASSWORD, "text/plain"],
            )


@contextmanager
def private_keyring(bus_address: str, home: Path) -> Iterator[PrivateKeyring]:
    """Unlocked, and gone when the block ends."""
    keyring = PrivateKeyring(bus_address, home)
    try:
        keyring.start()
        yield keyring
    finally:
        keyring.stop()


class _bus:  # noqa: N801
    def __init__(self, address: str) -> None:
        self._bus = MessageBus(bus_address=address, bus_type=BusType.SESSION)

    async def __aenter__(self) -> MessageBus:
        return await self._bus.connect()

    async def __aexit__(self, *_: object) -> None:
        self._bus.disconnect()


async def _call(bus: MessageBus, interface: str, member: str, signature: str, *body: object) -> Any:
    reply = await bus.call(
        Message(
            destination=_SERVICE,
            path=_ROOT,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
    )
    assert reply is not None
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    return reply.body
