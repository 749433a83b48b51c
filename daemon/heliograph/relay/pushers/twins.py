"""Twins at the homeserver: made, changed and removed with the user's own access token."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace

from heliograph.core.events import Json
from heliograph.relay.model.pushers import MARK, DirectPusher, Twin
from heliograph.relay.proxy.upstream import Answer, Upstream
from heliograph.relay.pushers.removal import PusherRemoval
from heliograph.relay.state.registry import Registry
from heliograph.relay.wire.original import upstream_body
from heliograph.relay.wire.pusher import (
    MAX_ORIGINAL,
    as_set,
    device_in,
    enabled_in,
    gateway_url_in,
    is_too_large,
    key_of,
    removal,
)

log = logging.getLogger(__name__)

MAX_TWINS = 100
"""Twins of one user, wakers among them."""
_PUSHERS = "/_matrix/client/v3/pushers"
_SET = "/_matrix/client/v3/pushers/set"
Authorization = Mapping[str, str]
MOST_TOLD = 1_000
"""Pushers of which the log says that they are not held."""


class UpstreamTwins:
    """Keeps twins at the homeserver, whose pushes go to `gateway_url`. `refuses` says why the relay may not send to a
    gateway, None if it may.


    Each method may raise NotAnswered and StorageError.
    """

    def __init__(
        self,
        upstream: Upstream,
        registry: Registry,
        removal: PusherRemoval,
        *,
        gateway_url: str,
        refuses: Callable[[str], str | None],
    ) -> None:
        self._upstream = upstream
        self._registry = registry
        self._removal = removal
        self._gateway_url = gateway_url
        self.refuses = refuses
        self._unheld: set[tuple[str, str]] = set()

    def refuses_to_hold(self, user_id: str, key: tuple[str, str], url: str, original: Json) -> str | None:
        """Why the relay makes no twin of this http pusher; None if it does. What is kept of a user has an end.

        Test: test_a_pusher_beyond_what_is_kept_of_a_user_stays_with_the_homeserver.
        """
        if (why := self.refuses(url)) is not None:
            return why
        if is_too_large(original):
            return f"it has more than {MAX_ORIGINAL} bytes"
        is_new = self._registry.twin_for(user_id, *key) is None
        if is_new and len(self._registry.twins_of(user_id)) >= MAX_TWINS:
            return f"the user has {MAX_TWINS} pushers here"
        return None

    async def listed(self, authorization: Authorization) -> list[Json] | None:
        """The pushers at the homeserver; None: it does not list them."""
        return entries_in(await self.ask_list(authorization))

    async def ask_list(self, authorization: Authorization, target: str = _PUSHERS) -> Answer:
        """The homeserver's answer to GET `target`, which lists the user's pushers."""
        return await self._upstream.ask("GET", target, authorization)

    def in_list(self, user_id: str, entry: Json) -> Twin | None:
        """The user's twin behind an entry of the homeserver's list; None if the entry is no twin."""
        twin = self._registry.twin_of(entry)
        return twin if twin is not None and twin.user_id == user_id else None

    def are_alike(self, one: Twin, other: Twin) -> bool:
        """Returns True if the homeserver would not know the two apart."""
        return self._body(one, append=True) == self._body(other, append=True)

    async def set(self, body: Json, authorization: Authorization) -> Answer:
        """POST /pushers/set, as the relay or a client wants it."""
        return await self._upstream.ask("POST", _SET, authorization, body)

    async def remove(self, app_id: str, pushkey: str, authorization: Authorization) -> Answer:
        """Removes a pusher by the app id and pushkey that it has at the homeserver."""
        return await self.set(removal(app_id, pushkey), authorization)

    async def remove_named(self, user_id: str, key: tuple[str, str], authorization: Authorization) -> Answer:
        """Removes the user's http pusher of this app id and pushkey, be it a twin or not."""
        twin = self._registry.twin_for(user_id, *key)
        pushkey = key[1] if twin is None else twin.upstream_pushkey
        answer = await self.remove(key[0], pushkey, authorization)
        if answer.is_good and twin is not None:
            await self._removal.drop([twin])
        return answer

    async def put(
        self, twin: Twin, authorization: Authorization, *, append: bool, direct: DirectPusher | None = None
    ) -> Answer:
        """Sets the twin at the homeserver. `direct`: the pusher that it wakes.

        The twin is known here first: its push may come before the homeserver's answer, and one of an unknown pushkey
        is not taken.
        """
        before = self._registry.twin(twin.hidden_pushkey)
        await self._registry.put_twin(twin)
        answer: Answer | None = None
        try:
            answer = await self.set(self._body(twin, append=append, direct=direct), authorization)
        finally:
            if answer is not None and not answer.is_good:
                # Without an answer the twin may have been set: it stays known until the next GET /pushers tells.
                await (self._registry.put_twin(before) if before else self._registry.drop([twin]))
        return answer

    async def claim(self, twin: Twin, authorization: Authorization) -> None:
        """Takes the pusher's name from other users at the homeserver.

        `append: false` says so; the twin itself has a hidden name, and would take nothing from anybody. An adopted one
        has its own.
        """
        if twin.is_adopted:
            return
        claim = replace(twin, is_adopted=True)
        if (await self.set(self._body(claim, append=False), authorization)).is_good:
            await self.remove(twin.app_id, twin.pushkey, authorization)

    async def without_orphans(self, user_id: str, listed: list[Json], authorization: Authorization) -> list[Json]:
        """Removes twins that nobody here knows, and returns the list without them.

        Another user took the name, or relay.db was lost, and nothing tells of the original.
        """
        kept: list[Json] = []
        for entry in listed:
            key = key_of(entry)
            # Those that could be taken up again are known by now.
            if key is not None and self.is_ours(entry) and self.in_list(user_id, entry) is None:
                await self.remove(*key, authorization)
            else:
                kept.append(entry)
        return kept

    async def adopt_all(
        self, user_id: str, listed: list[Json], authorization: Authorization, *, is_needed: bool = True
    ) -> list[Json]:
        """Makes twins of the user's other http pushers, and returns the list as the homeserver would tell it now.

        `is_needed` False: only of those in the place of a twin. Such a pusher keeps its pushkey upstream, since
        registering it under another would give it to the device that asks; the hidden pushkey is in its `data`.
        Test: test_pushers_that_were_there_before_stay_those_of_their_devices.
        """
        shown: list[Json] = []
        for entry in listed:
            key, adopted = key_of(entry), None
            if key is not None and entry.get("kind") == "http" and self.in_list(user_id, entry) is None:
                before = self._registry.twin_for(user_id, *key)
                if is_needed or before is not None:
                    adopted = await self._adopt(user_id, key, entry, before, authorization)
            shown.append(
                entry if adopted is None else {**entry, "data": {**entry["data"], MARK: adopted.hidden_pushkey}}
            )
        # A twin whose place another took is at the homeserver no more.
        return [entry for entry in shown if not self.is_ours(entry) or self.in_list(user_id, entry) is not None]

    def is_ours(self, entry: Json) -> bool:
        """Whether the pushes of this entry of the homeserver's list come to the relay."""
        return gateway_url_in(entry) == self._gateway_url

    async def retire(self, twin: Twin, authorization: Authorization) -> None:
        """Forgets a twin, in whose place the homeserver serves a pusher of the same name by itself."""
        # An adopted twin has the very pushkey of the pusher that the homeserver serves now.
        if not twin.is_adopted:
            await self.remove(twin.app_id, twin.upstream_pushkey, authorization)
        await self._removal.drop([twin])

    async def _adopt(
        self,
        user_id: str,
        key: tuple[str, str],
        entry: Json,
        before: Twin | None,
        authorization: Authorization,
    ) -> Twin | None:
        """Makes a twin of the entry. `before`: the user's twin of that name, whose place the entry takes.

        Test: test_a_phone_that_set_its_pusher_past_the_relay_is_adopted_and_rings_once.
        """
        url = gateway_url_in(entry)
        if url is None or url == self._gateway_url:
            return None
        original = as_set(entry)
        if (why := self.refuses_to_hold(user_id, key, url, original)) is not None:
            self._note_unheld(user_id, url, why)
            if before is not None:
                await self.retire(before, authorization)
            return None
        if before is not None and self._removal.is_rejected(before):
            await self._removal.drop([before])
        twin = Twin(
            # What waits for the pusher goes on waiting under the same hidden pushkey.
            hidden_pushkey=hidden_pushkey() if before is None else before.hidden_pushkey,
            user_id=user_id,
            app_id=key[0],
            pushkey=key[1],
            url=url,
            original=original,
            is_enabled=enabled_in(entry) is not False,
            device_id=device_in(entry) or (before.device_id if before is not None else None),
            is_adopted=True,
        )
        if not (await self.put(twin, authorization, append=True)).is_good:
            return None
        if before is not None and not before.is_adopted:
            await self.remove(before.app_id, before.hidden_pushkey, authorization)
        log.info(
            "An http pusher of %s goes through the relay now; what was pending for it at that moment is lost", user_id
        )
        return twin

    def _note_unheld(self, user_id: str, url: str, why: str) -> None:
        if (user_id, url) not in self._unheld and len(self._unheld) < MOST_TOLD:
            self._unheld.add((user_id, url))
            log.info("An http pusher of %s, of before the relay, rings beside the desktop: %s", user_id, why)

    def _body(self, twin: Twin, *, append: bool, direct: DirectPusher | None = None) -> Json:
        return upstream_body(twin, self._gateway_url, append=append, direct=direct)


def hidden_pushkey() -> str:
    """128 random bits."""
    return secrets.token_urlsafe(16)


def entries_in(answer: Answer) -> list[Json] | None:
    """The pushers in an answer to GET /pushers; None if the answer has no list of pushers."""
    entries = answer.json().get("pushers") if answer.status == 200 else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else None
