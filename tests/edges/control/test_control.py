from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from dbus_fast import Message, MessageType, NameFlag
from dbus_fast.aio import MessageBus

from buses import PrivateBus
from heliograph.control import BUS_NAME, client, service
from heliograph.control.client import ask_status
from heliograph.control.service import Control

STATUS = {"version": "1", "accounts": [{"user_id": "@me:example.org", "why": "ü\u202e\n"}]}


def saying(status: Any) -> Callable[[], Awaitable[Any]]:
    """What a daemon tells whose status is this."""

    async def tell() -> Any:
        return status

    return tell


def saying_in_turn(statuses: list[Any]) -> Callable[[], Awaitable[Any]]:
    async def tell() -> Any:
        return statuses.pop(0)

    return tell


@pytest.fixture
async def control(private_bus: PrivateBus) -> AsyncIterator[Control]:
    control = Control(saying(STATUS))
    await control.start()
    yield control
    await control.stop()


@pytest.fixture
async def other(private_bus: PrivateBus) -> AsyncIterator[MessageBus]:
    bus = await MessageBus(bus_address=private_bus.address).connect()
    yield bus
    bus.disconnect()


async def ask_until(is_right: Any) -> dict[str, Any] | None:
    async with asyncio.timeout(20):
        while True:
            status = await ask_status()
            if is_right(status):
                return status
            await asyncio.sleep(0.05)


async def test_the_daemon_tells_its_status(control: Control) -> None:
    assert await ask_status() == STATUS


async def test_the_status_is_of_the_moment_of_asking(private_bus: PrivateBus) -> None:
    status: dict[str, Any] = {"pending": 1}
    control = Control(saying(status))
    await control.start()
    status["pending"] = 2
    assert await ask_status() == {"pending": 2}
    await control.stop()


async def test_a_stopped_daemon_does_not_answer(control: Control) -> None:
    await control.stop()
    assert await ask_status() is None


async def test_without_a_daemon_there_is_no_answer(private_bus: PrivateBus) -> None:
    assert await ask_status() is None


@pytest.mark.parametrize("address", ["", "nonsense", "unix:path=/nonexistent"])
async def test_without_a_bus_both_sides_are_quiet(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    control = Control(saying(STATUS))
    await control.start()
    assert await ask_status() is None
    await control.stop()


async def test_a_second_daemon_leaves_the_name_and_takes_it_over(control: Control) -> None:
    second = Control(saying({"version": "2"}))
    await second.start()
    assert await ask_status() == STATUS
    await control.stop()
    assert await ask_until(lambda status: status is not None) == {"version": "2"}
    await second.stop()


async def test_the_daemon_is_back_when_the_bus_is(
    control: Control, private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_FIRST_DELAY_S", 0.05)
    await asyncio.to_thread(private_bus.stop)
    assert await ask_status() is None
    await asyncio.to_thread(private_bus.start)
    assert await ask_until(lambda status: status is not None) == STATUS


async def test_a_daemon_that_does_not_answer_is_given_up(other: MessageBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TIMEOUT_S", 0.1)
    other.add_message_handler(lambda message: message.message_type is MessageType.METHOD_CALL)
    await other.request_name(BUS_NAME, NameFlag.DO_NOT_QUEUE)
    assert await ask_status() is None


@pytest.mark.parametrize(
    ("signature", "body"),
    [("s", ["not json"]), ("s", ["[]"]), ("s", ["[" * 100_000]), ("u", [3]), ("", []), ("s", ['"' + "x" * 2_000_000])],
)
async def test_an_answer_that_is_none_is_not_taken_for_one(other: MessageBus, signature: str, body: list[Any]) -> None:
    def answer(message: Message) -> Message | None:
        if message.message_type is MessageType.METHOD_CALL:
            return Message.new_method_return(message, signature, body)
        return None

    other.add_message_handler(answer)
    await other.request_name(BUS_NAME, NameFlag.DO_NOT_QUEUE)
    assert await ask_status() is None


async def test_a_status_that_cannot_be_made_does_not_end_the_daemon(private_bus: PrivateBus) -> None:
    answers: list[Any] = [object(), {"version": "1"}]
    control = Control(saying_in_turn(answers))
    await control.start()
    assert await ask_status() is None
    assert await ask_status() == {"version": "1"}
    await control.stop()
