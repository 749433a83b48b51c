"""One push to a push gateway: one request, bounded in size and time, that follows no redirect and keeps no cookie.

Tests: test_a_redirect_is_not_followed, test_the_push_arrives_as_a_plain_json_post.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from heliograph import __version__
from heliograph.relay.model.outcome import Deferred, Delivered, Outcome, PushRefused, outcome_of
from heliograph.relay.queue.compression import unpack
from heliograph.relay.queue.targets import CheckedResolver, Forbidden, TargetPolicy

log = logging.getLogger(__name__)

MOST_IN_FLIGHT = 64
MOST_PER_HOST = 16
"""Pushes under way at once, and at one host: a gateway that hangs holds up its own pushers only.
Test: test_a_slow_gateway_holds_up_its_own_pushers_only."""
CONNECT_S = 10.0
ANSWER_S = 30.0
LARGEST_ANSWER = 64 * 1024


class Forwarder:
    """Sends pushes to gateways that the policy permits. To be made and closed within the event loop."""

    def __init__(
        self, policy: TargetPolicy, *, answer_s: float = ANSWER_S, resolver: CheckedResolver | None = None
    ) -> None:
        self._policy = policy
        self._answer_s = answer_s
        self._far = _session(resolver or CheckedResolver(policy))
        # Plain http is for this machine and the networks that are named alone, whatever a name resolves to.
        self._near = _session(CheckedResolver(policy, by_http=True))

    async def send(self, url: str, pushkey: str, body: bytes) -> Outcome:
        """POSTs `body`, which is for the device `pushkey`. Never raises but when cancelled."""
        try:
            target = self._policy.check(url)
            session = self._near if target.scheme == "http" else self._far
            async with asyncio.timeout(self._answer_s):
                async with session.post(target, data=body, allow_redirects=False) as response:
                    # Within the time-out as well: a gateway must not hold a place by answering a byte at a time.
                    answer = await _read(response)
        except TimeoutError:
            return PushRefused("no answer in time")
        except Forbidden as error:
            # Put off and not refused: a name that leads inside today
            # may be a mistake in the DNS, which is mended tomorrow.
            return Deferred(str(error))
        except aiohttp.ClientConnectorError as error:
            return Deferred(_describe(error))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # It may have been this very push that broke the connection.
            return PushRefused(_describe(error))
        if answer is None:
            return PushRefused("an answer without end")
        answer = unpack(answer, response.headers.get("Content-Encoding", ""), LARGEST_ANSWER)
        if answer is None:
            # Compressed in a way that is not understood here. The gateway has taken the push all the same.
            is_taken = 200 <= response.status < 300 and response.content_type == "application/json"
            return Delivered() if is_taken else PushRefused(f"HTTP {response.status}, compressed")
        return outcome_of(response.status, response.headers, answer, pushkey)

    async def close(self) -> None:
        await self._far.close()
        await self._near.close()


def _session(resolver: CheckedResolver) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=resolver, use_dns_cache=False, limit=MOST_IN_FLIGHT, limit_per_host=MOST_PER_HOST
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        headers={
            "User-Agent": f"heliograph-relay/{__version__}",
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        },
        # What a gateway compressed might be without end: `unpack` is bounded.
        auto_decompress=False,
        trust_env=False,
    )


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The answer's body; None if it is larger than LARGEST_ANSWER."""
    answer = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        answer += chunk
        if len(answer) > LARGEST_ANSWER:
            response.close()
            return None
    return bytes(answer)


def _describe(error: Exception) -> str:
    """The kind of the error only: some errors hold the URL, which may hold a secret."""
    cause = error.__cause__ or getattr(error, "os_error", None)
    return str(cause) if isinstance(cause, Forbidden) else f"no connection ({type(error).__name__})"
