from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

from edges.private_keyring import PrivateKeyring, private_keyring
from fakes.item_locking_keyring import COLLECTION, ITEM, ItemLockingKeyring
from heliograph.errors import SecretsLocked
from heliograph.secrets import secret_bus, secret_service
from heliograph.secrets.secret_bus import KeyringAbsent, KeyringUnavailable
from heliograph.secrets.secret_service import SecretService
from support.builders import ME
from support.buses import PrivateBus


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def bus() -> Iterator[str]:
    with PrivateBus() as bus:
        yield bus.address


@pytest.fixture
def keyring(bus: str, folder: Path) -> Iterator[PrivateKeyring]:
    with private_keyring(bus, folder) as keyring:
        yield keyring


@pytest.mark.parametrize("address", ["", "nonsense", "unix:path=/nonexistent", "tcp:host=127.0.0.1,port=1"])
async def test_without_a_session_bus_the_hint_names_the_file(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with pytest.raises(KeyringUnavailable) as refusal:
        await SecretService().load(ME)
    assert "--secrets file" in refusal.value.hint


async def test_without_a_keyring_on_the_bus_the_hint_names_the_file(bus: str) -> None:
    with pytest.raises(KeyringAbsent) as refusal:
        await SecretService(bus_address=bus).save(ME, "mine")
    assert "--secrets file" in refusal.value.hint


async def test_a_keyring_that_never_answers_is_given_up(bus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_bus, "_CALL_S", 0.1)
    silent = await MessageBus(bus_address=bus, bus_type=BusType.SESSION).connect()
    silent.add_message_handler(lambda message: message.message_type is MessageType.METHOD_CALL)
    await silent.request_name(secret_bus.SERVICE)
    with pytest.raises(KeyringUnavailable, match="did not answer"):
        await SecretService(bus_address=bus).load(ME)
    silent.disconnect()


async def test_a_prompt_that_nobody_answers_is_dismissed(bus: str) -> None:
    service = await MessageBus(bus_address=bus, bus_type=BusType.SESSION).connect()
    asked: list[str | None] = []

    def answer(message: Message) -> Message | bool:
        asked.append(message.member)
        match message.member:
            case "SearchItems":
                return Message.new_method_return(message, "aoao", [[], ["/item"]])
            case "Unlock":
                return Message.new_method_return(message, "aoo", [[], "/prompt"])
        return Message.new_method_return(message)

    service.add_message_handler(
        lambda message: answer(message) if message.message_type is MessageType.METHOD_CALL else None
    )
    await service.request_name(secret_bus.SERVICE)
    with pytest.raises(SecretsLocked, match="nobody answered"):
        await SecretService(bus_address=bus, prompt_s=0.1).load(ME)
    assert asked == ["SearchItems", "Unlock", "Prompt", "Dismiss"]
    service.disconnect()


@pytest.mark.real
async def test_who_may_not_prompt_does_not_ask(keyring: PrivateKeyring) -> None:
    store = SecretService(bus_address=keyring.bus_address, may_prompt=False)
    await store.save(ME, "mine")
    await keyring.lock()
    with pytest.raises(SecretsLocked):
        await store.load(ME)


@pytest.mark.real
async def test_waiting_does_not_wait_for_what_is_open(keyring: PrivateKeyring) -> None:
    await asyncio.wait_for(SecretService(bus_address=keyring.bus_address).wait_unlocked(ME), 10)


@pytest.mark.real
async def test_waiting_ends_when_a_keyring_appears(bus: str, folder: Path) -> None:
    store = SecretService(bus_address=bus)
    waiting = asyncio.create_task(store.wait_unlocked(ME))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    with private_keyring(bus, folder):
        await asyncio.wait_for(waiting, 10)


async def test_waiting_ends_with_an_error_when_the_bus_goes() -> None:
    with PrivateBus() as bus:
        waiting = asyncio.create_task(SecretService(bus_address=bus.address).wait_unlocked(ME))
        await asyncio.sleep(0.2)
    with pytest.raises(KeyringUnavailable):
        await asyncio.wait_for(waiting, 10)


async def test_an_item_with_a_lock_of_its_own_is_asked_for_after_its_collection(bus: str) -> None:
    keyring = ItemLockingKeyring("mine", is_open=False, answers=[True, True])
    async with keyring.running(bus):
        assert await SecretService(bus_address=bus).load(ME) == "mine"
    assert keyring.asked == [COLLECTION, ITEM]


async def test_a_dismissed_question_for_one_item_is_asked_again_after_a_change(bus: str) -> None:
    keyring = ItemLockingKeyring("mine", answers=[False, True])
    store = SecretService(bus_address=bus)
    async with keyring.running(bus):
        with pytest.raises(SecretsLocked):
            await store.load(ME)
        waiting = asyncio.create_task(store.wait_unlocked(ME))
        await asyncio.sleep(0.2)
        keyring.signal(COLLECTION, "Secret.Collection", "ItemCreated", "o", f"{COLLECTION}/other")
        keyring.signal(COLLECTION, "Secret.Collection", "ItemChanged", "o", f"{COLLECTION}/other")
        await asyncio.sleep(0.2)
        assert not waiting.done(), "what other programs keep there unlocks nothing"
        keyring.signal(COLLECTION, "Secret.Collection", "ItemChanged", "o", ITEM)
        await asyncio.wait_for(waiting, 10)
        assert await store.load(ME) == "mine"
    assert keyring.asked == [ITEM, ITEM]


async def test_a_locked_collection_is_waited_for_and_its_item_asked_for_then(bus: str) -> None:
    keyring = ItemLockingKeyring("mine", is_open=False, answers=[False, True])
    store = SecretService(bus_address=bus)
    async with keyring.running(bus):
        with pytest.raises(SecretsLocked):
            await store.load(ME)
        waiting = asyncio.create_task(store.wait_unlocked(ME))
        await asyncio.sleep(0.2)
        keyring.signal(COLLECTION, "Secret.Collection", "ItemChanged", "o", ITEM)
        await asyncio.sleep(0.2)
        assert not waiting.done(), "it is still locked"
        keyring.open()
        await asyncio.wait_for(waiting, 10)
        assert await store.load(ME) == "mine"
    assert keyring.asked == [COLLECTION, ITEM]


async def test_a_keyring_that_always_changes_asks_its_user_once_in_a_while_alone(
    bus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_service, "ASK_AGAIN_S", 3600)
    keyring = ItemLockingKeyring("mine")
    store = SecretService(bus_address=bus)
    async with keyring.running(bus):
        for times in (1, 2):
            with pytest.raises(SecretsLocked):
                await store.load(ME)
            assert len(keyring.asked) == times
            waiting = asyncio.create_task(store.wait_unlocked(ME))
            await asyncio.sleep(0.2)
            keyring.open()
            if times == 1:
                await asyncio.wait_for(waiting, 10)
        await asyncio.sleep(0.2)
        assert not waiting.done()
        waiting.cancel()
