"""Runs the user's other clients: matrix-js-sdk with its Rust crypto, the machinery of Element, in Node.js.

The packages are pinned, and lie in `.node-tests`. One process of node holds all clients of a run, so that each takes
0.3 s instead of 2.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from heliograph.demo.user import DemoUser

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / ".node-tests"
"""Where `tests/run` installs what package.json names, and links the program `node` to that of the test environment."""
_NODE = PACKAGES / "node"
_SCRIPT = ROOT / "tests/system/js/client.mjs"
_ANSWER_S = 60.0


class JsClientError(Exception):
    """The client could not do it."""


class JsProcess:
    """The process of node. It ends with this one."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="js-clients-"))
        self.socket = self._folder / "socket"
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> JsProcess:
        if not (PACKAGES / "node_modules/matrix-js-sdk").is_dir() or not _NODE.exists():
            raise JsClientError(f"{PACKAGES} is missing or not complete. Run: tests/run --prepare")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(_NODE), str(_SCRIPT), str(self.socket)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": os.environ["PATH"], "NODE_TESTS": str(PACKAGES)},
            )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise JsClientError(f"node ended: {self.last_words}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=5)
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


class JsClient:
    """One device of a user. Commands and their options are those of client.mjs.

    `await client("send", room=..., body=...)` gives the command's result, or raises JsClientError.
    """

    def __init__(self, user: DemoUser, process: JsProcess, *, has_threads: bool = False) -> None:
        """`has_threads`: as Element, the client takes threads for timelines of their own."""
        self._has_threads = has_threads
        self.user_id = user.user_id
        self.device_id = ""
        self._user = user
        self._process = process
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> JsClient:
        reader, self._writer = await asyncio.open_unix_connection(self._process.socket, limit=4 * 1024 * 1024)
        self._listening = asyncio.create_task(self._listen(reader))
        user = self._user
        options = {"base_url": user.base_url, "user_id": user.user_id, "password": user.password}
        told = await self("login", **options, device_name="Element", has_threads=self._has_threads)
        self.device_id = told["device_id"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None or self._listening is None:
            return
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        await self._listening

    async def __call__(self, command: str, **options: Any) -> Any:
        assert self._writer is not None
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps({"id": number, "command": command, **options}).encode() + b"\n")
        await self._writer.drain()
        async with asyncio.timeout(_ANSWER_S):
            told: Mapping[str, Any] = await answer
        if "error" in told:
            raise JsClientError(f"{command}: {told['error']}")
        return told["result"]

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                told = json.loads(line)
                if (answer := self._waiting.pop(told["id"], None)) is not None and not answer.done():
                    answer.set_result(told)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result({"error": f"the client ended: {self._process.last_words}"})
