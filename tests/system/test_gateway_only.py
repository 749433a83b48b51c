"""Synapse with no relay beside it, and one elsewhere that is a gateway only: the daemon acknowledges by a call."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from conftest import NewUser
from edges.relay.running import GatewayServer
from fakes.notification_server import NotificationServer
from heliograph.control.client import ask_status
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.relay.gateway.tokens import digest_of
from support.buses import PrivateBus
from support.waiting import until
from system.daemon import Daemon, sign_in
from system.evidence import PATIENCE_S, decisions
from system.relay_process import RelayProcess

TOKEN = "the-token"


async def is_told() -> bool:
    answer = await ask_status()
    assert answer is not None
    (account,) = answer["accounts"]
    return bool(account["handoff"]["relay"] == "told" and account["handoff"]["fallback"] == "registered")


async def heliograph(*words: str, stdin: str = "") -> None:
    program = [sys.executable, "-m", "heliograph", *words]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate(stdin.encode())
    assert process.returncode == 0, output.decode()


async def test_the_phone_rings_only_for_what_the_desktop_has_not_shown(
    synapse: ThrowawaySynapse, new_user: NewUser, private_bus: PrivateBus, screen: NotificationServer, tmp_path: Path
) -> None:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    account = await sign_in(me)
    config = f'gateway_only = true\n[users]\nyou = "{digest_of(TOKEN)}"\n'
    async with (
        GatewayServer() as gateway,
        RelayProcess(synapse.base_url, tmp_path / "relay", config) as relay,
    ):
        endpoint = gateway.url.replace("/_matrix/push/v1/notify", "/up")
        through = ("--gateway", gateway.url, "--relay", relay.url, "--relay-token-stdin")
        await heliograph("fallback", "set", "unifiedpush", endpoint, *through, stdin=f"{TOKEN}\n")
        async with Daemon() as daemon:
            await until(is_told, "the relay's knowing", PATIENCE_S)
            shown = {await alice.send_text(room, f"message {number}") for number in range(20)}
            await until(lambda: shown <= decisions(account).keys(), "the rings", PATIENCE_S)
            await relay.settled()
            assert not shown & set(gateway.events)
            assert await daemon.stop() == 0
        missed = [await alice.send_text(room, f"message {number}") for number in range(10)]
        await until(lambda: set(missed) <= set(gateway.events), "the pushes", PATIENCE_S)
        assert not shown & set(gateway.events)
        assert {push["devices"][0]["pushkey"] for push in gateway.pushes} == {endpoint}
        await heliograph("fallback", "remove")
        pushers = (await me.call("GET", "/pushers"))["pushers"]
        assert [each["kind"] for each in pushers if each["kind"] == "http"] == []
