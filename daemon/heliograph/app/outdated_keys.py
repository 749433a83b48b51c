"""Destroys keys of devices that were signed out, a day after the sign-out."""

from __future__ import annotations

import asyncio
import logging

from heliograph.accounts import state_root
from heliograph.core.text.clean import count_things
from heliograph.encryption.olm.key_files import destroy_outdated
from heliograph.errors import UserError
from heliograph.system.clock import now_ms
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

LOOK_S = 3600.0


async def destroy_outdated_keys() -> None:
    """Destroys the keys of any account on this machine whose day is over."""
    try:
        count = await asyncio.to_thread(destroy_outdated, state_root(), now_ms())
    except UserError as error:
        # Told and tried again within the hour: keys that cannot be deleted are no reason to show no messages.
        log.warning("%s %s", error.title, error.hint)
        return
    if count:
        log.info("Destroyed the keys of %s signed out", count_things(count, "device"))


async def keep_destroying_outdated_keys() -> None:
    """Destroys them every hour, since the daemon goes on for other accounts when one was signed out. Runs until
    cancelled."""
    await keep_running("keys set aside", _destroy_hourly, clock=now_ms)


async def _destroy_hourly() -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        await destroy_outdated_keys()
