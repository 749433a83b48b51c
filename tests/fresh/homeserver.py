"""The homeserver that the pages' lines meet on a fresh machine: on port 8008, with a user @you and this password.

    homeserver.py PASSWORD

It is there until standard input ends. It runs by the Python of the demonstration, which brings Synapse.
"""

from __future__ import annotations

import asyncio
import sys

from heliograph.demo.homeserver import ThrowawaySynapse

PORT = 8008


async def main() -> None:
    async with ThrowawaySynapse(choose_port=lambda: PORT) as synapse:
        await synapse.register("you", sys.argv[1])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
