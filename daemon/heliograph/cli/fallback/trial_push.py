"""Tests the fallback: sends a push as the homeserver would, and follows it as far as can be seen from here."""

from __future__ import annotations

import asyncio
import secrets
from urllib.parse import urlsplit

from heliograph.core.finding import Finding, bad, good
from heliograph.core.pushers.fallback import (
    Fallback,
    explain_answer,
    is_matrix_gateway,
    ntfy_poll_url,
    ntfy_warnings,
    trial_push,
)
from heliograph.core.text.clean import clean_line
from heliograph.errors import Unreachable
from heliograph.gateways.push_gateway import PushGateway

_LOOKS = 5
_PAUSE_S = 0.5


async def follow_push(fallback: Fallback) -> list[Finding]:
    """A finding for each step on the push's way, up to the first that fails."""
    async with PushGateway() as gateway:
        try:
            findings = await _ask(gateway, fallback)
            event_id = f"$heliograph-test-{secrets.token_hex(8)}"
            answer = await gateway.push(fallback.gateway, trial_push(fallback, event_id))
            findings.append(explain_answer(answer, fallback.pushkey))
            if not findings[-1].is_good:
                return findings
            # Only with contents can a push be too large; one that the gateway refuses holds up all later ones.
            if not fallback.is_event_id_only:
                long = trial_push(fallback, f"{event_id}-long", is_long=True)
                answer = await gateway.push(fallback.gateway, long)
                if not (finding := explain_answer(answer, fallback.pushkey, is_long=True)).is_good:
                    return [*findings, finding]
            return [*findings, *await _follow(gateway, fallback, event_id)]
        except Unreachable as error:
            return [
                bad(
                    f"The gateway cannot be reached from here: {clean_line(str(error), 200)}.",
                    f"Is the address right? {fallback.gateway}",
                )
            ]


async def _ask(gateway: PushGateway, fallback: Fallback) -> list[Finding]:
    if is_matrix_gateway(await gateway.ask(fallback.gateway)):
        return [good(f"{urlsplit(fallback.gateway).netloc} is a Matrix push gateway.")]
    # Sygnal and others do not say so, and are gateways nevertheless.
    return []


async def _follow(gateway: PushGateway, fallback: Fallback, event_id: str) -> list[Finding]:
    """Follows the push behind the gateway. ntfy tells what arrived in a topic; of other gateways nothing more is
    known."""
    if not _is_topic(fallback):
        return [good("What becomes of it behind the gateway cannot be seen from here: did it arrive?")]
    url = ntfy_poll_url(fallback.pushkey)
    warnings = [good(warning) for warning in ntfy_warnings(fallback.pushkey)]
    for look in range(_LOOKS):
        try:
            status, text = await gateway.listing(url)
        except Unreachable:
            # The push was taken a moment ago, so the server is there: looked again instead of called unreachable.
            status, text = 0, ""
        if status in (401, 403):
            return [*warnings, good("The topic may not be looked into without signing in: did it arrive?")]
        if status == 200 and event_id in text:
            return [*warnings, good("The push arrived in the topic.")]
        if status not in (0, 200):
            break
        if look < _LOOKS - 1:
            await asyncio.sleep(_PAUSE_S)
    return [
        *warnings,
        bad(
            "The gateway took the push, but it is not in the topic.",
            "Is the topic's cache switched off on that server? Then look at the phone instead, and use --force.",
        ),
    ]


def _is_topic(fallback: Fallback) -> bool:
    """True if the pushkey is an ntfy topic of the gateway's own server, marked as `ntfy_pushkey` marks it."""
    pushkey, gateway = urlsplit(fallback.pushkey), urlsplit(fallback.gateway)
    return pushkey.netloc == gateway.netloc and pushkey.query == "up=1" and pushkey.path.count("/") == 1
