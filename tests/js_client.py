"""The user's other client: matrix-js-sdk with its Rust crypto, as Element has it, in a process of node."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from heliograph.demo.user import DemoUser

ROOT = Path(__file__).parent.parent
PACKAGES = ROOT / ".node-tests"
"""Where `tests/run` installs what package.json names."""
_SCRIPT = Path(__file__).parent / "system/js/client.mjs"
_ANSWER_S = 60.0


class JsClientError(Exception):
    """The client could not do it."""


class JsClient:
    """One device of a user, in a process that ends with this one. Commands and their options are those of client.mjs.

    `await client("send", room=..., body=...)` gives the command's result, or raises JsClientError.
    """

    def __init__(self, user: DemoUser, log: Path) -> None:
        self.user_id = user.user_id
        self.device_id = ""
        self._user = user
        self._log = log
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> JsClient:
        if not (PACKAGES / "node_modules/matrix-js-sdk").is_dir():
            raise JsClientError(f"{PACKAGES} is missing. Run: tests/run --prepare")
        environment = {"PATH": os.environ["PATH"], "NODE_TESTS": str(PACKAGES)}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("node", str(_SCRIPT)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
                limit=4 * 1024 * 1024,
            )
        self._reader = asyncio.create_task(self._read())
        user = self._user
        options = {"base_url": user.base_url, "user_id": user.user_id, "password": user.password}
        told = await self("login", **options, device_name="Element")
        self.device_id = told["device_id"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None or self._reader is None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def __call__(self, command: str, **options: Any) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"id": number, "command": command, **options}).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(_ANSWER_S):
            told: Mapping[str, Any] = await answer
        if "error" in told:
            raise JsClientError(f"{command}: {told['error']}")
        return told["result"]

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if (answer := self._waiting.pop(told["id"], None)) is not None and not answer.done():
                answer.set_result(told)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result({"error": f"the client ended: {self._log.read_text()[-2000:]}"})
