"""Runs `heliograph run`, and if a step is named, kills the process right there the first time it has something to do.

    launcher.py [STEP | "confirm sign-outs soon"]

It is the test's own program: the daemon knows nothing of steps.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from heliograph.app import daemon
from heliograph.core.delivery import Move
from heliograph.core.events import Sync
from heliograph.core.notification import Notification, Popup
from heliograph.core.record import Plan, PopupRecord
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.encryption.olm.machine import Machine
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.keys import KeysClient
from heliograph.ports.homeserver import SyncRequest
from heliograph.ports.ledger import Settlement
from heliograph.store.ledger import SqliteLedger

Method = Callable[..., Awaitable[Any]]


def die() -> None:
    """As kill -9 from outside: nothing is flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


def _has_message(sync: Sync) -> bool:
    return any(room.timeline for room in sync.joined) or bool(sync.notifications)


def _after_receive(original: Method) -> Method:
    async def sync(self: HomeserverClient, request: SyncRequest) -> Sync:
        answer: Sync = await original(self, request)
        if request.since is not None and _has_message(answer):
            die()
        return answer

    return sync


def _around_take(*, is_before: bool) -> Callable[[Method], Method]:
    def wrap(original: Method) -> Method:
        async def take(self: Machine, to_device: Any) -> Any:
            if is_before:
                die()
            await original(self, to_device)
            die()

        return take

    return wrap


def _after_decryption(original: Method) -> Method:
    async def decrypt(self: Machine, events: Any) -> Any:
        await original(self, events)
        die()

    return decrypt


def _around_upload(*, is_before: bool) -> Callable[[Method], Method]:
    def wrap(original: Method) -> Method:
        async def upload(self: KeysClient, **keys: Any) -> Any:
            if is_before and keys:
                die()
            answer = await original(self, **keys)
            if keys:
                die()
            return answer

        return upload

    return wrap


def _after_confirmation(original: Method) -> Method:
    async def confirm(self: Machine, *, is_device_published: bool) -> None:
        await original(self, is_device_published=is_device_published)
        die()

    return confirm


def _around_commit(*, is_before: bool) -> Callable[[Method], Method]:
    def wrap(original: Method) -> Method:
        async def commit(self: SqliteLedger, plan: Plan, now_ms: int) -> Any:
            if is_before and plan.deliveries:
                die()
            committed = await original(self, plan, now_ms)
            if plan.deliveries:
                die()
            return committed

        return commit

    return wrap


def _around_show(*, is_before: bool) -> Callable[[Method], Method]:
    def wrap(original: Method) -> Method:
        async def show(self: FreedesktopDesktop, notification: Notification, replaces: Popup | None) -> Any:
            if is_before:
                die()
            outcome = await original(self, notification, replaces)
            die()
            return outcome

        return show

    return wrap


def _after_outcome(original: Method) -> Method:
    async def settle(
        self: SqliteLedger,
        settlements: list[Settlement],
        *,
        shown: PopupRecord | None = None,
        closed: str | None = None,
    ) -> None:
        await original(self, settlements, shown=shown, closed=closed)
        if any(each.move is Move.SHOWN for each in settlements):
            die()

    return settle


STEPS: dict[str, tuple[type, str, Callable[[Method], Method]]] = {
    "after receive": (HomeserverClient, "sync", _after_receive),
    "before to-device commit": (Machine, "take", _around_take(is_before=True)),
    "after to-device commit": (Machine, "take", _around_take(is_before=False)),
    "before ledger commit": (SqliteLedger, "commit", _around_commit(is_before=True)),
    "after ledger commit": (SqliteLedger, "commit", _around_commit(is_before=False)),
    "before notify": (FreedesktopDesktop, "show", _around_show(is_before=True)),
    "after notify": (FreedesktopDesktop, "show", _around_show(is_before=False)),
    "after outcome": (SqliteLedger, "settle", _after_outcome),
}


KEY_STEPS: dict[str, tuple[type, str, Callable[[Method], Method]]] = {
    "before key upload": (KeysClient, "upload_keys", _around_upload(is_before=True)),
    "after key upload": (KeysClient, "upload_keys", _around_upload(is_before=False)),
    "after key confirmation": (Machine, "confirm_upload", _after_confirmation),
    "after decryption": (Machine, "decrypt", _after_decryption),
}
"""Only with encryption is something to do there."""


SOON = "confirm sign-outs soon"
"""Instead of a minute after the first answer that confirms it."""
SOON_S = 2.0


def main() -> None:
    for step in sys.argv[1:]:
        if step == SOON:
            daemon.run_daemon = partial(daemon.run_daemon, sign_out_interval_s=SOON_S)
            continue
        owner, method, wrap = (STEPS | KEY_STEPS)[step]
        setattr(owner, method, wrap(getattr(owner, method)))
    from heliograph.cli import main as heliograph

    sys.argv = ["heliograph", "run"]
    heliograph()


if __name__ == "__main__":
    main()
