"""What every secret store does: the fake, the file, and a real gnome-keyring."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from edges.private_keyring import private_keyring
from fakes.secret_store import FakeSecretStore
from heliograph.errors import SecretsLocked
from heliograph.ports.secrets import SecretStore
from heliograph.secrets.secret_file import SecretFile
from heliograph.secrets.secret_service import SecretService
from support.builders import ALICE, ME
from support.buses import PrivateBus


@dataclass
class Subject:
    store: SecretStore
    lock: Callable[[], Awaitable[None]] | None = None
    unlock: Callable[[], Awaitable[None]] | None = None


def a_fake() -> Iterator[Subject]:
    store = FakeSecretStore()

    async def lock() -> None:
        store.lock()

    async def unlock() -> None:
        store.unlock()

    yield Subject(store, lock, unlock)


def a_file() -> Iterator[Subject]:
    with tempfile.TemporaryDirectory() as folder:
        yield Subject(SecretFile(lambda user_id: Path(folder) / quote(user_id)))


def a_keyring() -> Iterator[Subject]:
    with (
        tempfile.TemporaryDirectory() as folder,
        PrivateBus() as bus,
        private_keyring(bus.address, Path(folder)) as keyring,
    ):
        yield Subject(SecretService(bus_address=bus.address), keyring.lock, keyring.unlock)


@pytest.fixture(params=[a_fake, a_file, pytest.param(a_keyring, marks=pytest.mark.real)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    yield from request.param()


@pytest.fixture(params=[a_fake, pytest.param(a_keyring, marks=pytest.mark.real)])
def lockable(request: pytest.FixtureRequest) -> Iterator[Subject]:
    yield from request.param()


@pytest.fixture
def store(subject: Subject) -> SecretStore:
    return subject.store


async def test_what_was_saved_is_loaded(store: SecretStore) -> None:
    await store.save(ME, '{"access_token": "é\\u0000"}')
    assert await store.load(ME) == '{"access_token": "é\\u0000"}'


async def test_an_account_without_a_secret_has_none(store: SecretStore) -> None:
    await store.save(ALICE, "hers")
    assert await store.load(ME) is None


async def test_saving_again_replaces(store: SecretStore) -> None:
    await store.save(ME, "a longer one that comes first")
    await store.save(ME, "new")
    assert await store.load(ME) == "new"
    await store.delete(ME)
    assert await store.load(ME) is None


async def test_accounts_do_not_touch_one_another(store: SecretStore) -> None:
    await store.save(ME, "mine")
    await store.save(ALICE, "hers")
    await store.delete(ME)
    assert await store.load(ALICE) == "hers"


async def test_deleting_what_is_not_there_is_no_error(store: SecretStore) -> None:
    await store.delete(ME)


async def test_a_locked_secret_is_not_an_absent_one(lockable: Subject) -> None:
    assert lockable.lock
    await lockable.store.save(ME, "mine")
    await lockable.lock()
    with pytest.raises(SecretsLocked):
        await lockable.store.load(ME)


async def test_a_lock_that_may_hide_a_secret_is_not_taken_for_its_absence(lockable: Subject) -> None:
    assert lockable.lock
    await lockable.lock()
    with pytest.raises(SecretsLocked):
        await lockable.store.load(ME)


async def test_a_locked_store_neither_takes_nor_drops_secrets(lockable: Subject) -> None:
    assert lockable.lock
    assert lockable.unlock
    await lockable.store.save(ME, "mine")
    await lockable.lock()
    with pytest.raises(SecretsLocked):
        await lockable.store.save(ME, "other")
    with pytest.raises(SecretsLocked):
        await lockable.store.delete(ME)
    await lockable.unlock()
    assert await lockable.store.load(ME) == "mine"


async def test_there_is_no_wait_for_what_is_not_locked(store: SecretStore) -> None:
    await store.save(ME, "mine")
    await asyncio.wait_for(store.wait_unlocked(ME), 10)


async def test_the_wait_ends_with_the_lock(lockable: Subject) -> None:
    assert lockable.lock
    assert lockable.unlock
    await lockable.store.save(ME, "mine")
    await lockable.lock()
    waiting = asyncio.create_task(lockable.store.wait_unlocked(ME))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await lockable.unlock()
    await asyncio.wait_for(waiting, 10)
    assert await lockable.store.load(ME) == "mine"
