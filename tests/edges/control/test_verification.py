"""`heliograph verify` and the running daemon, over the session bus."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dbus_fast import Message
from dbus_fast.aio import MessageBus

from fakes.answers import FakeAnswers
from heliograph.control import BUS_NAME
from heliograph.control.service import Control
from heliograph.control.verification import MAX_SECRET, Verification1, VerificationClient
from heliograph.errors import HeliographError, Unreachable, UserError
from support.builders import ME
from support.buses import PrivateBus

LOOKED = {"standing": "unverified", "verification": {"phase": "comparing", "emoji": [["🐶", "Dog"]]}}


class FakeVerifying:
    """Remembers what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.failure: HeliographError | None = None

    def _note(self, *words: object) -> None:
        self.asked.append(words)
        if self.failure is not None:
            raise self.failure

    async def begin(self, user_id: str) -> str:
        self._note("begin", user_id)
        return "t"

    async def look(self, user_id: str, transaction_id: str) -> dict[str, Any]:
        self._note("look", user_id, transaction_id)
        return LOOKED

    async def answer(self, user_id: str, transaction_id: str, *, is_same: bool) -> None:
        self._note("answer", user_id, transaction_id, is_same)

    async def cancel(self, user_id: str, transaction_id: str) -> None:
        self._note("cancel", user_id, transaction_id)

    async def unlock(self, user_id: str, kind: str, secret: str) -> bool:
        self._note("unlock", user_id, kind, secret)
        return True


@pytest.fixture
def verifying() -> FakeVerifying:
    return FakeVerifying()


@pytest.fixture
async def control(private_bus: PrivateBus, verifying: FakeVerifying) -> AsyncIterator[Control]:
    control = Control(FakeAnswers({}), beside=[Verification1(verifying)])
    await control.start()
    yield control
    await control.stop()


@pytest.fixture
async def client(control: Control) -> AsyncIterator[VerificationClient]:
    client = await VerificationClient.connect()
    assert client is not None
    yield client
    client.close()


async def test_what_is_asked_arrives(client: VerificationClient, verifying: FakeVerifying) -> None:
    assert await client.begin(ME) == "t"
    assert await client.look(ME, "t") == LOOKED
    await client.answer(ME, "t", is_same=False)
    await client.cancel(ME, "t")
    assert verifying.asked == [("begin", ME), ("look", ME, "t"), ("answer", ME, "t", False), ("cancel", ME, "t")]


@pytest.mark.parametrize("secret", ["Es12 3456", "", "ünï\n", "x" * MAX_SECRET])
async def test_a_secret_comes_through_a_pipe(client: VerificationClient, verifying: FakeVerifying, secret: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    assert await client.unlock(ME, "passphrase", secret) is True
    assert verifying.asked == [("unlock", ME, "passphrase", secret)]
    assert len(os.listdir("/proc/self/fd")) <= len(before)


@pytest.mark.parametrize("exit_code", [1, 2])
async def test_what_the_user_can_mend_is_told_whole(
    client: VerificationClient, verifying: FakeVerifying, exit_code: int
) -> None:
    verifying.failure = UserError("It is wrong.", "Mend it.", exit_code=exit_code)
    with pytest.raises(UserError) as told:
        await client.begin(ME)
    assert (told.value.title, told.value.hint, told.value.exit_code) == ("It is wrong.", "Mend it.", exit_code)


async def test_a_homeserver_that_fails_is_told(client: VerificationClient, verifying: FakeVerifying) -> None:
    verifying.failure = Unreachable("nobody answers")
    with pytest.raises(UserError) as told:
        await client.look(ME, "")
    assert "nobody answers" in told.value.title
    assert told.value.hint == "Try again later."


async def test_a_daemon_that_stops_meanwhile_is_told(
    client: VerificationClient, control: Control, verifying: FakeVerifying
) -> None:
    await control.stop()
    with pytest.raises(UserError, match="has stopped"):
        await client.begin(ME)


async def test_a_daemon_that_stops_before_its_answer_is_told(private_bus: PrivateBus) -> None:
    bus = await MessageBus(bus_address=private_bus.address).connect()
    await bus.request_name(BUS_NAME)
    client = await VerificationClient.connect()
    assert client is not None

    def go_when_asked(message: Message) -> bool:
        if is_asked := message.member == "Begin":
            bus.disconnect()
        return is_asked

    bus.add_message_handler(go_when_asked)
    with pytest.raises(UserError, match="has stopped"):
        await client.begin(ME)
    client.close()


async def test_without_a_daemon_there_is_nobody_to_ask(private_bus: PrivateBus) -> None:
    assert await VerificationClient.connect() is None


async def test_without_a_bus_there_is_nobody_to_ask() -> None:
    assert await VerificationClient.connect() is None
