"""Keeps the secret in a keyring: gnome-keyring, KWallet, KeePassXC and others that speak the Secret Service API.

Locked must never be taken for absent: the user would be told to log in again, and get a second device.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dbus_fast import Variant

from heliograph.errors import SecretsLocked
from heliograph.secrets.secret_bus import NOWHERE, ROOT, KeyringAbsent, KeyringUnavailable, SecretBus, connect

PROMPT_S = 60.0
"""How long the user may take to unlock the keyring."""
ASK_AGAIN_S = 60.0
"""How much at least lies between two questions to which changes of the keyring lead."""
_MAX_SECRET = 64 * 1024
_COLLECTIONS = (f"{ROOT}/collection", f"{ROOT}/aliases")
"""What a collection's path is below; its items' paths are below its own."""

_SCHEMA = "io.github.heliograph.Account"
_ITEM = "org.freedesktop.Secret.Item"


class SecretService:
    """Keeps one item for each account in the default collection. The secret crosses the session bus unencrypted (the
    algorithm "plain"): whoever can read that bus can ask the keyring as well.

    With `may_prompt`, a locked keyring asks the user for its password: `on_prompt` is called, and the call waits for at
    most `prompt_s` seconds. Each method raises SecretsLocked or KeyringUnavailable.
    """

    name = "keyring"

    def __init__(
        self,
        *,
        bus_address: str | None = None,
        may_prompt: bool = True,
        prompt_s: float = PROMPT_S,
        on_prompt: Callable[[], None] = lambda: None,
    ) -> None:
        self._bus_address = bus_address
        self._may_prompt = may_prompt
        self._prompt_s = prompt_s
        self._on_prompt = on_prompt
        self._asked_again_s: float | None = None

    async def load(self, user_id: str) -> str | None:
        async with connect(self._bus_address) as bus:
            items = await self._find(bus, user_id)
            if not items:
                return None
            session = await _open_session(bus)
            # An item that was locked meanwhile is missing from the answer, which is no error to the service.
            (secrets,) = await bus.call(ROOT, "Secret.Service", "GetSecrets", "aoo", items[:1], session)
            if items[0] not in secrets:
                raise SecretsLocked("the keyring was locked again")
            _, _, value, _ = secrets[items[0]]
            try:
                return bytes(value[:_MAX_SECRET]).decode()
            except UnicodeDecodeError:
                raise KeyringUnavailable("What the keyring holds for this account is not a text.") from None

    async def save(self, user_id: str, secret: str) -> None:
        async with connect(self._bus_address) as bus:
            collection = await self._default_collection(bus)
            await self._unlock(bus, [collection])
            session = await _open_session(bus)
            properties = {
                f"{_ITEM}.Label": Variant("s", f"Heliograph: {user_id}"),
                f"{_ITEM}.Attributes": Variant("a{ss}", _attributes(user_id)),
            }
            value = [session, b"", secret.encode(), "application/json"]
            # The last argument has an item with the same attributes replaced: a second login leaves one item.
            item, prompt = await bus.call(
                collection, "Secret.Collection", "CreateItem", "a{sv}(oayays)b", properties, value, True
            )
            if item == NOWHERE:
                await self._ask(bus, prompt)

    async def delete(self, user_id: str) -> None:
        async with connect(self._bus_address) as bus:
            for item in await self._find(bus, user_id):
                (prompt,) = await bus.call(item, "Secret.Item", "Delete")
                if prompt != NOWHERE:
                    await self._ask(bus, prompt)

    async def wait_unlocked(self, user_id: str) -> None:
        """Waits until `load` would meet no lock, or may ask the user again for the account's item alone. Waits for a
        keyring that does not run yet, too. Asks the user nothing, and looks again only when the keyring says that
        something changed.

        KeePassXC locks an item by itself, from its version 2.7 on: each connection to the bus is to ask for each item,
        so this one would never see the item unlocked. Whoever dismissed that question is asked again when the keyring
        says that something was unlocked. Test: test_a_dismissed_question_for_one_item_is_asked_again_after_a_change.

        Raises KeyringUnavailable if the bus goes away or the keyring hangs.
        """
        async with connect(self._bus_address) as bus, bus.changes() as changes:
            may_have_unlocked, locks = False, list[str]()
            while True:
                try:
                    unlocked, locks = await _search(bus, user_id)
                    if unlocked or not locks:
                        return
                    if may_have_unlocked and await _is_collection_open(bus, locks):
                        await self._pace_questions()
                        return
                except KeyringAbsent:
                    pass
                await changes.wait()
                may_have_unlocked = changes.take(locks)

    async def _pace_questions(self) -> None:
        # A keyring may say that things change all day, and who dismissed the question knows about it.
        clock = asyncio.get_running_loop().time
        if self._asked_again_s is not None:
            await asyncio.sleep(self._asked_again_s + ASK_AGAIN_S - clock())
        self._asked_again_s = clock()

    async def _find(self, bus: SecretBus, user_id: str) -> list[str]:
        """The account's items, all unlocked. Empty: there are none, and nothing is locked that could hide one."""
        # Once for the collection, and once for an item with a lock of its own, which is seen only then.
        for _ in range(2):
            items, locks = await _search(bus, user_id)
            if items or not locks:
                return items
            await self._unlock(bus, locks)
        items, locks = await _search(bus, user_id)
        if locks and not items:
            raise SecretsLocked("the keyring is still locked")
        return items

    async def _unlock(self, bus: SecretBus, paths: list[str]) -> None:
        unlocked, prompt = await bus.call(ROOT, "Secret.Service", "Unlock", "ao", paths)
        if prompt != NOWHERE:
            await self._ask(bus, prompt)
        elif not set(paths) <= set(unlocked):
            raise SecretsLocked("the keyring is locked")

    async def _ask(self, bus: SecretBus, prompt: str) -> object:
        if not self._may_prompt:
            raise SecretsLocked("the keyring is locked")
        self._on_prompt()
        return await bus.answer_prompt(prompt, self._prompt_s)

    async def _default_collection(self, bus: SecretBus) -> str:
        collection = await _default(bus)
        if collection is not None:
            return collection
        # A keyring that was never used may have no default collection yet.
        properties = {"org.freedesktop.Secret.Collection.Label": Variant("s", "Default keyring")}
        created, prompt = await bus.call(ROOT, "Secret.Service", "CreateCollection", "a{sv}s", properties, "default")
        return str(created if created != NOWHERE else await self._ask(bus, prompt))


async def _search(bus: SecretBus, user_id: str) -> tuple[list[str], list[str]]:
    """The account's items that are unlocked, and the items or collections that may hide more until unlocked."""
    unlocked, locked = await bus.call(ROOT, "Secret.Service", "SearchItems", "a{ss}", _attributes(user_id))
    if unlocked or locked:
        return unlocked, locked
    # Some keyrings (KeePassXC, KWallet) do not search what is locked.
    collection = await _default(bus)
    if collection is not None and await bus.property(collection, "Secret.Collection", "Locked"):
        return [], [collection]
    return [], []


async def _is_collection_open(bus: SecretBus, locks: list[str]) -> bool:
    """Whether these are items that are locked though one of their collections is not."""
    for path in locks:
        above = path.rpartition("/")[0]
        is_collection = above in _COLLECTIONS
        if not is_collection and not await bus.property(above, "Secret.Collection", "Locked"):
            return True
    return False


async def _default(bus: SecretBus) -> str | None:
    (collection,) = await bus.call(ROOT, "Secret.Service", "ReadAlias", "s", "default")
    return None if collection == NOWHERE else collection


async def _open_session(bus: SecretBus) -> str:
    _, session = await bus.call(ROOT, "Secret.Service", "OpenSession", "sv", "plain", Variant("s", ""))
    return str(session)


def _attributes(user_id: str) -> dict[str, str]:
    return {"xdg:schema": _SCHEMA, "user-id": user_id}
