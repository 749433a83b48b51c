"""A Synapse that is split into workers: main process, sync, client, event persister and pusher."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from heliograph.demo.homeserver import ThrowawaySynapse
from support.ports import reserve_port
from support.waiting import until

SYNC, CLIENT, PERSISTER, PUSHER = "sync1", "client1", "persister1", "pusher1"
_SERVES = {SYNC: "client", CLIENT: "client", PERSISTER: "replication", PUSHER: "health"}
"""What each listens for. The pusher serves nobody, and says whether it is up."""
PATIENCE_S = 120


class SplitSynapse(ThrowawaySynapse):
    """The main process. `ports` are those of the workers."""

    def __init__(self, postgresql_port: int, redis_port: int) -> None:
        main, replication = reserve_port(self), reserve_port(self)
        self.ports = {name: reserve_port(self) for name in _SERVES}
        database = {"user": "synapse", "dbname": "synapse", "host": "127.0.0.1", "port": postgresql_port}
        settings = {
            "listeners": [_listener(main, "client"), _listener(replication, "replication")],
            "database": {"name": "psycopg2", "args": {**database, "cp_min": 2, "cp_max": 5}},
            "redis": {"enabled": True, "host": "127.0.0.1", "port": redis_port},
            "instance_map": {
                "main": {"host": "127.0.0.1", "port": replication},
                PERSISTER: {"host": "127.0.0.1", "port": self.ports[PERSISTER]},
            },
            "stream_writers": {"events": PERSISTER},
            "pusher_instances": [PUSHER],
        }
        super().__init__(settings=settings, choose_port=lambda: main)


@dataclass
class Worker:
    """One worker of Synapse, which can be restarted."""

    main: SplitSynapse
    name: str
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.main.folder / f"{self.name}.log"

    async def start(self) -> None:
        """Returns when it answers."""
        self._spawn()
        await until(self._answers, self.name, PATIENCE_S)

    def _spawn(self) -> None:
        folder = self.main.folder
        settings: dict[str, object] = {
            "worker_app": "synapse.app.generic_worker",
            "worker_name": self.name,
            "worker_log_config": str(folder / "log.yaml"),
            "worker_listeners": [_listener(self.main.ports[self.name], _SERVES[self.name])],
        }
        file = folder / f"{self.name}.yaml"
        file.write_text(json.dumps(settings))
        command = [sys.executable, "-P", "-m", "synapse.app.generic_worker", "-c", str(folder / "homeserver.yaml")]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "-c", str(file)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder
            )

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(errors="replace")[-3000:]
        try:
            async with aiohttp.request("GET", f"http://127.0.0.1:{self.main.ports[self.name]}/health") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


@contextlib.asynccontextmanager
async def a_split_synapse(postgresql_port: int, redis_port: int) -> AsyncIterator[tuple[SplitSynapse, list[Worker]]]:
    """The main process and its workers, all of which answer."""
    async with contextlib.AsyncExitStack() as stack:
        main = SplitSynapse(postgresql_port, redis_port)
        await stack.enter_async_context(main)
        workers = [Worker(main, name) for name in (PERSISTER, SYNC, CLIENT, PUSHER)]
        for worker in workers:
            stack.push_async_callback(worker.stop)
            await worker.start()
        yield main, workers


def _listener(port: int, resource: str) -> dict[str, object]:
    return {"port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "resources": [{"names": [resource]}]}
