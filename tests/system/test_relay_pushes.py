"""A relay that is killed while many pushes come at once, and share their commits, has lost none that it answered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from edges.relay.running import GatewayServer
from heliograph.relay.gateway.tokens import digest_of
from system.relay_process import RelayProcess

PHONES = 20
PUSHES = 400
TOKEN = "the-token"


async def register(relay: RelayProcess, gateway: GatewayServer, client: aiohttp.ClientSession) -> list[str]:
    pushkeys = []
    for number in range(PHONES):
        body = {"app_id": "app", "pushkey": f"phone-{number}", "data": {"url": gateway.url}}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with client.post(f"{relay.url}/_heliograph/v1/pushers", json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            pushkeys.append((await answer.json())["pushkey"])
    return pushkeys


async def test_a_kill_among_many_pushes_at_once_loses_none_that_was_answered(tmp_path: Path) -> None:
    config = f'gateway_only = true\n[users]\nme = "{digest_of(TOKEN)}"\n'
    answered: set[str] = set()
    async with (
        GatewayServer() as gateway,
        RelayProcess("http://127.0.0.1:9", tmp_path / "relay", config) as relay,
        aiohttp.ClientSession() as client,
    ):
        pushkeys = await register(relay, gateway, client)

        async def push(number: int) -> None:
            event_id = f"${number}"
            device = {"app_id": "app", "pushkey": pushkeys[number % PHONES]}
            notification = {"event_id": event_id, "room_id": "!room:x", "counts": {"unread": 1}, "devices": [device]}
            url = f"{relay.url}/_matrix/push/v1/notify"
            async with client.post(url, json={"notification": notification}) as answer:
                # Read to its end: a killed relay may have sent only the beginning.
                await answer.read()
                assert answer.status == 200
            answered.add(event_id)
            # Among the first: aiohttp has no more than a hundred requests open, so that most were not sent yet.
            if len(answered) == PUSHES // 8:
                await relay.kill()

        outcomes = await asyncio.gather(*map(push, range(PUSHES)), return_exceptions=True)
        assert any(isinstance(each, aiohttp.ClientError) for each in outcomes)
        await relay.start()
        await relay.settled()
        assert answered <= set(gateway.events)
