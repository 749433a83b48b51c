"""What every `ports.PushRelay` does: the fake, and the real client in front of a relay that is a gateway only."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edges.relay.running import RunningRelay
from fakes.push_relay import FakePushRelay
from heliograph.core.ids import EventId
from heliograph.errors import Refused
from heliograph.gateways.relay import PushRelayClient
from heliograph.ports.gateways import PushRelay
from heliograph.relay.gateway.tokens import digest_of

TOKEN = "the-token"


@dataclass
class Subject:
    relay: PushRelay
    is_waited_for: Callable[[], bool]
    stranger: PushRelay
    """One whose token the relay does not know."""


@pytest.fixture(params=["fake", "relay"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "fake":
        fake, stranger = FakePushRelay(), FakePushRelay()
        stranger.failure = Refused(401, "M_UNKNOWN_TOKEN", "no such token")
        yield Subject(fake, lambda: fake.is_waited_for, stranger)
        return
    users = {"you": digest_of(TOKEN)}
    async with (
        RunningRelay("http://127.0.0.1:9", tmp_path / "relay", gateway_only=True, users=users) as running,
        PushRelayClient(running.url, TOKEN, "DESK") as client,
    ):

        def is_waited_for() -> bool:
            return running.relay.state.hold_until("you", "app", "key", time.time_ns() // 1_000_000) is not None

        async with PushRelayClient(running.url, "wrong", "DESK") as unknown:
            yield Subject(client, is_waited_for, unknown)


async def test_who_is_present_is_waited_for_until_it_leaves(subject: Subject) -> None:
    await subject.relay.acknowledge([], 60_000)
    assert subject.is_waited_for()
    await subject.relay.acknowledge([EventId("$1")], 0)
    assert not subject.is_waited_for()


async def test_who_is_not_known_is_refused(subject: Subject) -> None:
    with pytest.raises(Refused):
        await subject.stranger.acknowledge([EventId("$1")], 60_000)
