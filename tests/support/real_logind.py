"""systemd's own logind, on a test's bus and over a /run of its own, with a session and a machine that never sleeps.

What it asks of systemd's manager is answered here: every job is done at once, but that of sleeping when the test says.
It obeys nobody but root, so whoever uses this has to be that, at least in a user namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from support.waiting import until

LOGIND = "/lib/systemd/systemd-logind"
NAME = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
SYSTEMD = "org.freedesktop.systemd1"
_SYSTEMD_PATH = "/org/freedesktop/systemd1"
_SCRIPT = """\
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/logind.conf.d /run/udev
printf '[Login]\\nNAutoVTs=0\\nReserveVT=0\\n' >/run/systemd/logind.conf.d/test.conf
mount --bind {power} /sys/power/state
exec env -i DBUS_SYSTEM_BUS_ADDRESS={address} {logind}
"""


class RealLogind:
    """From `start` to `stop` it has the name on the bus, and the user has a graphical session."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._folder = tempfile.TemporaryDirectory(prefix="heliograph-logind-")
        self._process: subprocess.Popen[bytes] | None = None
        self._bus: MessageBus | None = None
        self._session = ""
        self._jobs = 0
        self._sleeping: str | None = None
        """The job that the machine's sleep is."""
        self._is_woken = False

    async def start(self) -> None:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self._bus = await MessageBus(bus_address=self._address, negotiate_unix_fd=True).connect()
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name(SYSTEMD)
        await asyncio.to_thread(self._spawn)
        await until(self._has_name, "logind", 10)
        # No seat: such a session is always in front. The leader is this process.
        session: tuple[Any, ...] = (
            os.getuid(),
            os.getpid(),
            "heliograph",
            "x11",
            "user",
            "",
            "",
            0,
            "",
            ":99",
            False,
            "",
            "",
            [],
        )
        reply = await self._call(PATH, f"{NAME}.Manager", "CreateSession", "uusssssussbssa(sv)", *session)
        self._session = reply[1]

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        if self._bus is not None:
            self._bus.disconnect()
            with contextlib.suppress(EOFError):
                await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._folder.cleanup()

    def lock(self) -> None:
        self._send(self._session, f"{NAME}.Session", "SetLockedHint", "b", True)

    def unlock(self) -> None:
        self._send(self._session, f"{NAME}.Session", "SetLockedHint", "b", False)

    def idle(self) -> None:
        self._send(self._session, f"{NAME}.Session", "SetIdleHint", "b", True)

    def touch(self) -> None:
        self._send(self._session, f"{NAME}.Session", "SetIdleHint", "b", False)

    def suspend(self) -> None:
        self._sleeping, self._is_woken = None, False
        self._send(PATH, f"{NAME}.Manager", "Suspend", "b", False)

    def resume(self) -> None:
        """At once, or as soon as it sleeps."""
        self._is_woken = True
        if self._sleeping is not None:
            self._finish(self._sleeping, "suspend.target")

    def _spawn(self) -> None:
        folder = Path(self._folder.name)
        (folder / "power").write_text("freeze mem\n")
        script = _SCRIPT.format(power=shlex.quote(f"{folder}/power"), address=shlex.quote(self._address), logind=LOGIND)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _has_name(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (Path(self._folder.name) / "log").read_text()
        assert self._bus is not None
        question = Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="NameHasOwner",
            signature="s",
            body=[NAME],
        )
        reply = await self._bus.call(question)
        assert reply is not None
        return bool(reply.body == [True])

    async def _call(self, path: str, interface: str, member: str, signature: str, *body: Any) -> list[Any]:
        assert self._bus is not None
        reply = await self._bus.call(_call(path, interface, member, signature, *body))
        assert reply is not None
        assert reply.message_type is MessageType.METHOD_RETURN, f"{member}: {reply.error_name} {reply.body}"
        return reply.body

    def _send(self, path: str, interface: str, member: str, signature: str, *body: Any) -> None:
        assert self._bus is not None
        self._bus.send(_call(path, interface, member, signature, *body))

    # systemd's manager

    def _answer(self, call: Message) -> Message | None:
        if call.message_type is not MessageType.METHOD_CALL or not (call.path or "").startswith(_SYSTEMD_PATH):
            return None
        match call.member:
            case "Get":
                return Message.new_method_return(call, "v", [Variant("s", "loaded")])
            case "StartUnit" | "StartTransientUnit" | "StopUnit":
                return self._start_job(call)
        return Message.new_method_return(call)

    def _start_job(self, call: Message) -> Message:
        self._jobs += 1
        job, unit = f"{_SYSTEMD_PATH}/job/{self._jobs}", call.body[0]
        if unit == "suspend.target" and not self._is_woken:
            self._sleeping = job
        else:
            asyncio.get_running_loop().call_soon(self._finish, job, unit)
        return Message.new_method_return(call, "o", [job])

    def _finish(self, job: str, unit: str) -> None:
        assert self._bus is not None
        done = [self._jobs, job, unit, "done"]
        self._bus.send(Message.new_signal(_SYSTEMD_PATH, f"{SYSTEMD}.Manager", "JobRemoved", "uoss", done))


def _call(path: str, interface: str, member: str, signature: str, *body: Any) -> Message:
    return Message(
        destination=NAME, path=path, interface=interface, member=member, signature=signature, body=list(body)
    )
