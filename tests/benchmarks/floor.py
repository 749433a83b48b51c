"""The floor: a raw /sync loop straight to Notify. No store, no rules, no bounds; nobody can be much quicker.

Reads HOMESERVER and TOKEN from the environment, and says READY=1 when it waits for events.
"""

from __future__ import annotations

import asyncio
import json
import os

import aiohttp
from dbus_fast import Message
from dbus_fast.aio import MessageBus

from heliograph.system import systemd

_FILTER = {
    "presence": {"types": []},
    "account_data": {"types": []},
    "room": {
        "state": {"types": []},
        "account_data": {"types": []},
        "ephemeral": {"types": []},
        "timeline": {"types": ["m.room.message"], "limit": 20},
    },
}
_POLL_MS = 30_000


async def main() -> None:
    bus = await MessageBus().connect()
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    url = f"{os.environ['HOMESERVER']}/_matrix/client/v3/sync"
    # Kept for longer than a poll: otherwise the pool wakes up once more in each poll to look for idle connections.
    pool = aiohttp.TCPConnector(keepalive_timeout=300)
    async with aiohttp.ClientSession(headers=headers, connector=pool) as session:
        asked = {"filter": json.dumps({"room": {"rooms": []}}), "timeout": "0", "set_presence": "offline"}
        async with session.get(url, params=asked) as response:
            since = (await response.json())["next_batch"]
        systemd.ready("connected")
        asked |= {"filter": json.dumps(_FILTER), "timeout": str(_POLL_MS)}
        while True:
            async with session.get(url, params={**asked, "since": since}) as response:
                answer = json.loads(await response.read())
            for room in answer.get("rooms", {}).get("join", {}).values():
                for event in room["timeline"]["events"]:
                    await notify(bus, event["sender"], str(event["content"].get("body")))
            since = answer["next_batch"]


async def notify(bus: MessageBus, summary: str, body: str) -> None:
    await bus.call(
        Message(
            destination="org.freedesktop.Notifications",
            path="/org/freedesktop/Notifications",
            interface="org.freedesktop.Notifications",
            member="Notify",
            signature="susssasa{sv}i",
            body=["floor", 0, "", summary, body, [], {}, -1],
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
