"""Finds the gateway of the fallback, and registers and removes its pusher at the homeservers of all accounts."""

from __future__ import annotations

import secrets
import string
from collections.abc import Awaitable, Callable
from typing import Literal

from heliograph.accounts import device_name, list_accounts, state_folder
from heliograph.cli.accounts.signed_in import open_session
from heliograph.cli.service import systemctl
from heliograph.core.finding import Finding, bad, good
from heliograph.core.pushers.fallback import (
    APP_ID,
    NOTIFY_PATH,
    Fallback,
    fallback_pusher,
    is_matrix_gateway,
    notify_url,
    ntfy_pushkey,
    ntfy_topic,
    why_unfit,
    why_unfit_url,
)
from heliograph.core.text.clean import clean_line
from heliograph.errors import (
    EXIT_USAGE,
    SecretsLocked,
    ServerError,
    Unreachable,
    UserError,
)
from heliograph.gateways.push_gateway import PushGateway
from heliograph.homeserver.client import HomeserverClient
from heliograph.store.lock import is_held
from heliograph.store.sign_out_file import sign_out_of
from heliograph.system.service_manager import UNIT

_LETTERS = string.ascii_letters + string.digits


async def find_fallback(
    kind: Literal["ntfy", "unifiedpush"], url: str, gateway: str | None, *, is_full: bool
) -> Fallback:
    """The fallback for this endpoint. Its gateway is the endpoint's own server if that is one, else `gateway`. Raises
    UserError."""
    if (problem := why_unfit_url(url)) is not None:
        raise _refusal(f"{clean_line(url, 200)!r} {problem}.")
    if kind == "ntfy":
        # Looked at before the server is asked, so that a typing error costs no request and names the URL.
        topic = ntfy_topic(url)
        if topic is None:
            raise _refusal(f"{clean_line(url, 200)!r} is not the URL of a topic.")
        pushkey = ntfy_pushkey(url, topic or _new_topic())
    else:
        pushkey = url
    fallback = Fallback(gateway or await _discover(url), pushkey, APP_ID, not is_full)
    if (problem := why_unfit(fallback)) is not None:
        raise UserError(f"This cannot be a fallback: {problem}.", "See heliograph fallback set --help.")
    return fallback


async def _discover(url: str) -> str:
    gateway = notify_url(url)
    try:
        async with PushGateway() as http:
            answer = await http.ask(gateway)
    except Unreachable as error:
        raise UserError(f"{gateway} cannot be reached: {error}.", "Is the address right?") from error
    if not is_matrix_gateway(answer):
        raise UserError(
            f"The server of this endpoint is not a Matrix push gateway (HTTP {answer.status} at {NOTIFY_PATH}).",
            "Name one with --gateway, or take UnifiedPush's public one with --public-gateway.",
        )
    return gateway


async def register(fallback: Fallback, before: Fallback | None) -> list[Finding]:
    """Registers the fallback's pusher for each account that does not have exactly this one, and removes the one before.
    Returns a finding for each account."""

    async def act(homeserver: HomeserverClient) -> str:
        wanted = fallback_pusher(fallback, device_name())
        pushers = {pusher.key: pusher for pusher in await homeserver.pushers()}
        if before is not None and (before.app_id, before.pushkey) != wanted.key:
            await homeserver.remove_pusher(before.app_id, before.pushkey)
        if wanted.key in pushers and pushers[wanted.key].as_sent == wanted:
            # Registered again, the homeserver would forget pushes that wait.
            return "registered already"
        await homeserver.set_pusher(wanted)
        return "registered"

    return await _for_all(act)


async def unregister(fallback: Fallback) -> list[Finding]:
    """Removes the fallback's pusher from each account. Returns a finding for each."""

    async def act(homeserver: HomeserverClient) -> str:
        await homeserver.remove_pusher(fallback.app_id, fallback.pushkey)
        return "removed"

    return await _for_all(act)


async def look(fallback: Fallback) -> list[Finding]:
    """Looks at the fallback's pusher at the homeserver of each account. Returns a finding for each."""

    async def act(homeserver: HomeserverClient) -> str:
        wanted = fallback_pusher(fallback, device_name())
        found = next((each for each in await homeserver.pushers() if each.key == wanted.key), None)
        if found is None:
            raise UserError(
                "the homeserver has no such pusher (the gateway rejected it, or another client removed it)",
                "heliograph fallback test; then set it again: heliograph fallback set",
            )
        if found.as_sent.data != wanted.data or found.kind != wanted.kind:
            raise UserError("the homeserver has it otherwise", "Set it again: heliograph fallback set")
        return "registered" if found.is_enabled else "registered, switched off at the moment"

    return await _for_all(act)


def restart_daemon() -> list[Finding]:
    """Restarts the daemon if systemd runs it, since only a start reads the changed configuration. Returns a finding
    unless no daemon runs."""
    running = [account for account in list_accounts() if is_held(state_folder(account.user_id)) is not None]
    if not running:
        return []
    try:
        if systemctl.is_active(UNIT):
            systemctl.restart()
            return [good("Heliograph was restarted with it.")]
    except UserError as error:
        return [bad(error.title, error.hint)]
    return [good("Heliograph is running with the configuration from before: start it again.")]


async def _for_all(act: Callable[[HomeserverClient], Awaitable[str]]) -> list[Finding]:
    findings = []
    for account in list_accounts():
        if sign_out_of(account) is not None:
            findings.append(good(f"{account.user_id}: signed out, and left out."))
            continue
        try:
            async with open_session(account) as session:
                done = await act(HomeserverClient(session))
            findings.append(good(f"{account.user_id}: {done}"))
        except (UserError, ServerError, SecretsLocked) as error:
            findings.append(bad(f"{account.user_id}: {error}", getattr(error, "hint", "")))
    return findings


def _new_topic() -> str:
    # 71 bits: whoever guesses a topic's name reads it and may ring the phone, unless the server asks for a sign-in.
    return "up" + "".join(secrets.choice(_LETTERS) for _ in range(12))


def _refusal(title: str) -> UserError:
    return UserError(title, "Give it like https://ntfy.example.org/upAbCdEf123456.", exit_code=EXIT_USAGE)
