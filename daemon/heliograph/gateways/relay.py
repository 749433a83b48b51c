"""The client of a relay that is a gateway only: the desktop tells it which events were shown, and who is there."""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
import msgspec

from heliograph import __version__
from heliograph.core.events import Json
from heliograph.core.ids import EventId
from heliograph.core.text.clean import clean_line
from heliograph.errors import AnswerTooLarge, BadAnswer, RateLimited, Refused, Unreachable
from heliograph.http.unanswered import word_unanswered

_TIMEOUT_S = 20.0
_MAX_ANSWER = 64 * 1024
_PATH = "/_heliograph/v1"


class PushRelayClient:
    """`ports.PushRelay`. Redirects are not followed. Every call raises ServerError, and nothing else."""

    def __init__(self, url: str, token: str, device_id: str = "", *, timeout_s: float = _TIMEOUT_S) -> None:
        parts = urlsplit(url)
        # Only scheme and host count: a gateway's URL that was pasted has a path of its own.
        self._base = urlunsplit((parts.scheme, parts.netloc, _PATH, "", ""))
        self._device_id = device_id
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._headers = {
            "User-Agent": f"Heliograph/{__version__}",
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
        }
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> PushRelayClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def add(self, app_id: str, pushkey: str, data: Json) -> tuple[str, str]:
        """Adds a pusher. Returns the pushkey and the URL of the gateway to register at the homeserver in its place."""
        answer = await self._call("POST", "pushers", {"app_id": app_id, "pushkey": pushkey, "data": data})
        told = (answer.get("pushkey"), answer.get("url"))
        if not all(isinstance(each, str) and each for each in told):
            raise BadAnswer(200, "the relay does not say what to register")
        return str(told[0]), str(told[1])

    async def remove(self, pushkey: str) -> None:
        """Removes the pusher that `add` returned this pushkey for, if there is one."""
        await self._call("DELETE", f"pushers/{quote(pushkey, safe='')}")

    async def acknowledge(self, event_ids: Collection[EventId], present_ms: int) -> None:
        """Tells the relay that these events need not ring elsewhere, and for how many ms the user is here."""
        await self._call(
            "POST",
            "acknowledge",
            {"device_id": self._device_id, "event_ids": list(event_ids), "present_ms": present_ms},
        )

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        data = None if body is None else msgspec.json.encode(body)
        url = f"{self._base}/{path}"
        try:
            async with self._http.request(
                method, url, data=data, headers=self._headers, allow_redirects=False
            ) as response:
                return _judge(response.status, response.headers.get("Retry-After", ""), await _read(response))
        except TimeoutError:
            raise Unreachable(f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(word_unanswered(error)) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    text = bytearray()
    async for piece in response.content.iter_any():
        text += piece
        if len(text) > _MAX_ANSWER:
            raise AnswerTooLarge(f"the answer has more than {_MAX_ANSWER} bytes")
    return bytes(text)


def _judge(status: int, retry_after: str, text: bytes) -> Json:
    try:
        told: Any = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        told = None
    body: Json = told if isinstance(told, dict) else {}
    if status == 200 and isinstance(told, dict):
        return body
    why = clean_line(str(body.get("error", "")), 200) or f"answered HTTP {status}"
    # Apart from other refusals, since it says when to come back.
    if status == 429:
        # Six digits would be days: no relay means that.
        raise RateLimited(why, float(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else None)
    if 400 <= status < 500 and body.get("errcode"):
        raise Refused(status, clean_line(str(body["errcode"]), 100), why)
    raise BadAnswer(status, why)
