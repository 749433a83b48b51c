"""A real Chromium without a window, in which a test fills in forms and clicks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from support.waiting import until

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=900,600"),
)


class Chromium:
    """The browser's process, with one page. A `with` block."""

    def __enter__(self) -> Self:
        self._profile = Path(tempfile.mkdtemp(prefix="heliograph-chromium-"))
        program = shutil.which("chromium") or "chromium"
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self._profile}", "--remote-debugging-port=0", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Its crash reporter and its profile are kept out of the test's home folder.
            env={"HOME": str(self._profile), "PATH": "/usr/bin:/bin"},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def page(self) -> AsyncIterator[BrowserPage]:
        """The page, as somebody sees it who sits before it."""
        async with aiohttp.ClientSession() as http:
            url = await until(lambda: self._find_page(http), "a page of Chromium", 60)
            async with http.ws_connect(url, max_msg_size=0) as socket:
                yield BrowserPage(socket)

    async def _find_page(self, http: aiohttp.ClientSession) -> str:
        chosen = self._profile / "DevToolsActivePort"
        with contextlib.suppress(aiohttp.ClientError, OSError, IndexError):
            port = (await asyncio.to_thread(chosen.read_text)).split()[0]
            async with http.get(f"http://127.0.0.1:{port}/json") as answer:
                pages = [each for each in await answer.json() if each["type"] == "page"]
                return str(pages[0]["webSocketDebuggerUrl"])
        return ""


class BrowserPage:
    """A page, by the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0

    async def open(self, url: str) -> None:
        await self._call("Page.navigate", url=url)

    async def fill(self, field: str, text: str) -> None:
        """Types into the field with this id, once the page has it."""
        await self._until(f"!!document.getElementById({json.dumps(field)})")
        await self._run(f"document.getElementById({json.dumps(field)}).focus()")
        await self._run(f"document.getElementById({json.dumps(field)}).value = ''")
        await self._call("Input.insertText", text=text)

    async def click(self, button: str) -> None:
        await self._until(f"!!document.getElementById({json.dumps(button)})")
        await self._run(f"document.getElementById({json.dumps(button)}).click()")

    async def read(self, words: str) -> str:
        """The page's text, once these words are in it."""
        await self._until(f"!!document.body && document.body.innerText.includes({json.dumps(words)})")
        return str(await self._run("document.body.innerText"))

    async def value(self, field: str) -> str:
        """What stands in the field with this id, once the page has it."""
        await self._until(f"!!document.getElementById({json.dumps(field)})")
        return str(await self._run(f"document.getElementById({json.dumps(field)}).value"))

    async def take_picture(self, file: Path) -> None:
        answer = await self._call("Page.captureScreenshot")
        await asyncio.to_thread(file.write_bytes, base64.b64decode(answer["data"]))

    async def _until(self, expression: str) -> None:
        async def is_so() -> bool:
            return await self._run(expression) is True

        await until(is_so, expression, 30)

    async def _run(self, expression: str) -> Any:
        answer = await self._call("Runtime.evaluate", expression=expression)
        return answer["result"].get("value")

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json(timeout=30)
            if answer.get("id") == self._calls:
                assert "error" not in answer, answer
                return dict(answer["result"])
