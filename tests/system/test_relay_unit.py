"""The relay as a system service under a real systemd: it works in its sandbox, comes back, and ends in order."""

from __future__ import annotations

import asyncio
import re
import sys
import sysconfig
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import pytest

from conftest import NewUser
from edges.relay.running import GatewayServer, direct_body, http_body
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from support.ports import reserve_port
from support.waiting import until
from system.systemd_box import REPOSITORY, SystemdBox

pytestmark = pytest.mark.root
UNIT = "heliograph-relay.service"
PROGRAM = "/opt/heliograph/heliograph"
MOST_EXPOSURE = 1.5


class Machine:
    """Of the homeserver's admin, with the relay's unit installed. `url` is the relay's."""

    def __init__(self, box: SystemdBox, homeserver: str) -> None:
        self._box = box
        self._port = reserve_port(self)
        self._homeserver = homeserver

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def root(self, *words: str, check: bool = True) -> str:
        return await asyncio.to_thread(partial(self._box.run, *words, check=check))

    async def write(self, file: str, text: str) -> None:
        await self.root("sh", "-c", 'mkdir -p "$(dirname "$0")" && printf %s "$1" > "$0"', file, text)

    async def install(self) -> None:
        await self._place_program()
        listen = f"127.0.0.1:{self._port}"
        await self.root(PROGRAM, "relay", "unit", "--to", "/etc/systemd/system", "--listen", listen)
        await self.configure(self.settings)
        await self.root("systemctl", "daemon-reload")

    @property
    def settings(self) -> str:
        return f'homeserver = "{self._homeserver}"\nlisten = "127.0.0.1:{self._port}"\n'

    async def has_told(self, pattern: str) -> bool:
        return re.search(pattern, await self.root("journalctl", "--no-pager", "-u", UNIT)) is not None

    async def configure(self, text: str) -> None:
        await self.write("/etc/heliograph-relay/relay.toml", f"allow_http_loopback = true\n{text}")

    async def _place_program(self) -> None:
        """For the whole machine, as an administrator does: the sandbox hides homes, where this checkout may lie."""
        places = {
            sys.base_prefix: "/opt/python",
            sysconfig.get_path("purelib"): "/opt/packages",
            str(REPOSITORY): "/opt/repository",
        }
        for place, name in places.items():
            await self.root("mkdir", name)
            await self.root("mount", "--bind", place, name)
        python = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        path = ["/opt/repository/daemon", "/opt/packages"]
        start = f"import sys\nsys.path += {path}\nfrom heliograph.cli import main\nmain()\n"
        # A Python that was moved may not find its own library, and take the system's.
        await self.write(PROGRAM, f"#!/usr/bin/env -S LD_LIBRARY_PATH=/opt/python/lib {python} -I\n{start}")
        await self.root("chmod", "755", PROGRAM)

    async def shows(self, name: str) -> str:
        return (await self.root("systemctl", "show", UNIT, f"--property={name}", "--value")).strip()

    async def has_come_back_as_another(self, pid: str) -> bool:
        return await self.shows("MainPID") not in ("0", pid) and await self.answers()

    async def answers(self) -> bool:
        try:
            async with aiohttp.request("GET", f"{self.url}/_heliograph/v1/met/nobody") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


@pytest.fixture
async def machine(synapse: ThrowawaySynapse) -> AsyncIterator[Machine]:
    box = SystemdBox()
    try:
        await asyncio.to_thread(box.start)
        machine = Machine(box, synapse.base_url)
        await machine.install()
        yield machine
    finally:
        await asyncio.to_thread(box.stop)


@pytest.mark.expected_log("journal warning: The settings from before go on: .*relay.toml is not valid TOML")
async def test_the_unit_serves_in_its_sandbox_comes_back_after_a_crash_and_stops(
    machine: Machine, new_user: NewUser
) -> None:
    verdict = await machine.root("systemd-analyze", "verify", "--man=no", UNIT)
    assert UNIT not in verdict
    exposure = re.search(r"exposure level for \S+: ([0-9.]+)", await machine.root("systemd-analyze", "security", UNIT))
    assert exposure is not None
    assert float(exposure[1]) <= MOST_EXPOSURE

    await machine.root("systemctl", "start", UNIT)
    assert await machine.answers()
    pid = await machine.shows("MainPID")
    assert int(await machine.root("stat", "--format=%u", f"/proc/{pid}")) > 60_000  # systemd's dynamic users
    assert (await machine.root("stat", "--format=%a", "/var/lib/private/heliograph-relay")).strip() == "700"

    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    through = DemoUser(machine.url, me.user_id, me.device_id, me.access_token, me.password)
    async with GatewayServer() as gateway:
        await through.call("POST", "/pushers/set", direct_body())
        body = http_body(gateway)
        body["data"]["url"] = gateway.url.replace("127.0.0.1", "localhost")  # to be resolved
        await through.call("POST", "/pushers/set", body)
        first = await alice.send_text(room, "first")
        await until(lambda: first in gateway.events, "the push")

        await machine.root("kill", "-KILL", pid)
        await until(partial(machine.has_come_back_as_another, pid), "the restart")
        assert len((await through.call("GET", "/pushers"))["pushers"]) == 2
        # The socket keeps the port: nobody is refused while the relay restarts.
        restarting = asyncio.create_task(machine.root("systemctl", "restart", UNIT))
        answers = []
        while not restarting.done():
            answers.append(await machine.answers())
        await restarting
        assert all(answers)
        second = await alice.send_text(room, "second")
        await until(lambda: second in gateway.events, "the push after the restart")

    pid = await machine.shows("MainPID")
    await machine.configure(f'{machine.settings}listen = "127.0.0.1:9"\n')
    await machine.root("systemctl", "reload", UNIT)
    await until(partial(machine.has_told, "The settings from before go on: .*Cannot overwrite a value"), "the refusal")
    await machine.configure(f'{machine.settings}allow_networks = ["10.0.0.0/8"]\n')
    await machine.root("systemctl", "reload", UNIT)
    await until(partial(machine.has_told, "taken over: allow_networks; waiting for a restart: none"), "the settings")
    assert await machine.shows("MainPID") == pid

    await machine.root("systemctl", "stop", UNIT)
    assert (await machine.shows("Result"), await machine.shows("ExecMainStatus")) == ("success", "0")


@pytest.mark.expected_log("journal error: Error: .*homesever: there is no such key")
@pytest.mark.expected_log("journal error: Try: Did you mean homeserver")
async def test_a_wrong_configuration_is_told_and_not_tried_again_and_again(machine: Machine) -> None:
    await machine.configure('homesever = "http://127.0.0.1:8008"\n')
    await machine.root("systemctl", "start", UNIT, check=False)
    assert (await machine.shows("ExecMainStatus"), await machine.shows("ActiveState")) == ("78", "failed")
    assert "homesever" in await machine.root("journalctl", "--no-pager", "-u", UNIT)
