"""Checks one account: its secret, its homeserver, its device there, its pusher, the clock, its ledger."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from heliograph.accounts import Account, state_folder
from heliograph.app.access_tokens import open_tokens
from heliograph.cli.accounts.account_page import tell_sign_in
from heliograph.cli.output.times import local_time
from heliograph.core.finding import Finding, bad, doubtful, good
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.pushers.relayed import led_to_relay, relay_of
from heliograph.core.text.clean import clean_line, count_things
from heliograph.errors import (
    AccountLocked,
    BadAnswer,
    LoggedOut,
    RateLimited,
    Refused,
    SecretsLocked,
    ServerError,
    StateError,
    StorageError,
    TokenRefused,
    UserError,
)
from heliograph.gateways.push_gateway import PushGateway
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.logout import knows_token
from heliograph.homeserver.session import Session
from heliograph.loops.pushers import APP_ID
from heliograph.ports.homeserver import Features
from heliograph.ports.tokens import AccessTokens
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import decode_secret
from heliograph.store.ledger import LEDGER_NAME
from heliograph.store.reader import open_readonly
from heliograph.system.service_manager import to_restart, to_start

_TIMEOUT_S = 20.0
_KEYRING_S = 5.0
_DOUBTFUL_CLOCK_S = 30.0
_BAD_CLOCK_S = 300.0


async def check_account(account: Account) -> list[Finding]:
    """All findings about one account. Each wait has a time-out."""
    findings = await _check_ledger(account)
    tokens, secret = await _check_secret(account)
    findings.append(secret)
    findings += await _tell_sign_in(account)
    # Without a token the homeserver is asked all the same: that it answers is a finding of its own.
    session = Session(account.homeserver, tokens=tokens, user_id=account.user_id, device_id=account.device_id)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            findings += [finding async for finding in _ask(account, session, is_signed_in=tokens is not None)]
    except TimeoutError:
        findings.append(bad(f"no answer within {_TIMEOUT_S:g} s", _NETWORK, subject=_about(account, "homeserver")))
    finally:
        await session.close()
    return findings


_NETWORK = "Check the network, and that the homeserver is up."
_SERVER = "Try again later, or ask whoever runs the homeserver and what stands in front of it."


async def _check_ledger(account: Account) -> list[Finding]:
    subject = _about(account, "ledger")
    folder = state_folder(account.user_id)
    if not await asyncio.to_thread((folder / LEDGER_NAME).exists):
        return [doubtful("never started yet", f"Start the daemon once: {to_start()}", subject=subject)]
    try:
        ledger = await open_readonly(folder)
        try:
            counts, unreadable, aside = await ledger.counts(), await ledger.unreadable(), await ledger.set_aside()
        finally:
            await ledger.close()
    except StateError as error:
        return [bad(error.title, error.hint, subject=subject)]
    except StorageError as error:
        return [bad(str(error), "Check the disk.", subject=subject)]
    waiting = counts["pending"]
    rest = f", {waiting} of them {'waits' if waiting == 1 else 'wait'}" if waiting else ""
    findings = [good(f"{sum(counts.values())} rang{rest}", subject=subject)]
    if unreadable:
        text = f"{count_things(len(unreadable), 'row')} cannot be read, such as {unreadable[-1].words}"
        cure = f"Start the daemon anew, which sets aside these alone: {await asyncio.to_thread(to_restart)}"
        findings.append(bad(text, cure, subject=subject))
    if aside:
        text = f"{count_things(len(aside), 'row')} could not be read and went aside, such as {aside[-1].words}"
        findings.append(
            doubtful(text, "Look into your Matrix client for what it told of. Check the disk.", subject=subject)
        )
    return findings


async def _check_secret(account: Account) -> tuple[AccessTokens | None, Finding]:
    subject = _about(account, "secret")
    try:
        store = open_secrets(account.secrets)
        async with asyncio.timeout(_KEYRING_S):
            text = await store.load(account.user_id)
        if text is None:
            return None, bad(f"gone from the {store.name}", f"heliograph login {account.user_id}", subject=subject)
        secret = decode_secret(account.user_id, text, is_oauth=account.oauth is not None)
        return await open_tokens(account, secret), good(f"in the {store.name}", subject=subject)
    except SecretsLocked:
        return None, bad(
            "the keyring is locked", "Unlock it, for example by logging in to your desktop.", subject=subject
        )
    except TimeoutError:
        return None, bad("the keyring does not answer", "Unlock it, or restart it.", subject=subject)
    except UserError as error:
        return None, bad(error.title, error.hint, subject=subject)


async def _tell_sign_in(account: Account) -> list[Finding]:
    sign_in = await tell_sign_in(account)
    if sign_in is None:
        return []
    until_ms = sign_in["token_until_ms"]
    until = f", with an access token until {local_time(until_ms)}" if until_ms else ""
    page = f" (its page: {sign_in['account_page']})" if sign_in["account_page"] else ""
    return [good(f"by OAuth 2.0 at {sign_in['issuer']}{until}{page}", subject=_about(account, "signed in"))]


async def _ask(account: Account, session: Session, *, is_signed_in: bool) -> AsyncIterator[Finding]:
    homeserver = HomeserverClient(session)
    subject = _about(account, "homeserver")
    try:
        features = await homeserver.features()
    except LoggedOut as gone:
        # Synapse checks the access token of this request, too: the homeserver works, and only the token does not.
        yield good(account.homeserver, subject=subject)
        yield await _refused(account, session, gone)
        return
    except AccountLocked as error:
        # There, too.
        yield good(account.homeserver, subject=subject)
        yield _locked(account, error)
        return
    except (BadAnswer, Refused, RateLimited) as error:
        yield bad(f"{account.homeserver}: it {error}", _SERVER, subject=subject)
        return
    except ServerError as error:
        yield bad(f"{account.homeserver}: {error}", _NETWORK, subject=subject)
        return
    yield good(f"{account.homeserver}, {_describe(features)}", subject=subject)
    yield _check_clock(session)
    if not is_signed_in:
        return
    subject = _about(account, "pusher")
    try:
        pushers = await homeserver.pushers()
    except LoggedOut as gone:
        yield await _refused(account, session, gone)
    except AccountLocked as error:
        yield _locked(account, error)
    except ServerError as error:
        yield bad(str(error), "heliograph pushers list", subject=subject)
    else:
        yield _check_pusher(subject, pushers, account)
        async for finding in _check_relay(account, pushers):
            yield finding


def _locked(account: Account, error: AccountLocked) -> Finding:
    if isinstance(error, TokenRefused):
        cure = (
            "Ask whoever runs the homeserver to unlock the account. If you removed this device, sign in again: "
            f"heliograph login {account.user_id}"
        )
        return bad(str(error), cure, subject=_about(account, "device"))
    return bad(str(error), "Ask whoever runs the homeserver to unlock it.", subject=_about(account, "device"))


async def _refused(account: Account, session: Session, gone: LoggedOut) -> Finding:
    """The finding for a refused access token. One refusal may be wrong, so whoami is asked as well, and the finding
    tells what both say. Nothing is deleted here."""
    subject = _about(account, "device")
    try:
        is_known = await knows_token(session)
    except ServerError as error:
        return bad(
            f"its access token is refused, and whoami does not confirm that: it {error}", _SERVER, subject=subject
        )
    if is_known:
        return bad(
            "its access token is refused in one place, and known to whoami: not signed out", _SERVER, subject=subject
        )
    what = "signed out softly, and its device waits for a new login" if gone.soft else "signed out"
    text = f"its access token is refused, and whoami confirms that: {what}"
    return bad(text, f"heliograph login {account.user_id}", subject=subject)


def _check_pusher(subject: str, pushers: tuple[Pusher, ...], account: Account) -> Finding:
    own = next((each for each in pushers if (each.app_id, each.pushkey) == (APP_ID, account.pushkey)), None)
    # Only HTTP pushers ring: another desktop's is direct, and an e-mail pusher makes no sound.
    count = sum(each.kind == "http" for each in pushers)
    others = (
        "no other of yours rings" if not count else count_things(count, "other of yours rings", "others of yours ring")
    )
    if own is None:
        return doubtful(f"not registered, {others}", "Start the daemon, which registers it.", subject=subject)
    if not own.is_enabled:
        return doubtful(
            f"switched off by another of your clients, {others}", "heliograph pushers list", subject=subject
        )
    return good(f"registered, {others}", subject=subject)


async def _check_relay(account: Account, pushers: tuple[Pusher, ...]) -> AsyncIterator[Finding]:
    """Devices whose pushes go to a relay, though our requests do not pass that any more."""
    for pusher in led_to_relay(pushers):
        subject, name = _about(account, "relay"), clean_line(pusher.device_display_name, 50)
        answers = False
        async with PushGateway() as gateways:
            with contextlib.suppress(ServerError):
                answers = (await gateways.ask(str(pusher.data["url"]))).status == HTTPStatus.OK
        text = f"{name} rings by the relay at {relay_of(pusher)}, which this homeserver no longer leads clients through"
        if answers:
            yield doubtful(text, "Ask whoever runs the homeserver: heliograph relay leave", subject=subject)
        else:
            yield bad(
                f"{text}, and which does not answer here",
                "Have the app there register for notifications again, or ask whoever runs the homeserver.",
                subject=subject,
            )


def _check_clock(session: Session) -> Finding:
    try:
        told = parsedate_to_datetime(session.server_date)
        # "-0000" is UTC, too (RFC 5322, 3.3), and would be taken for this machine's time zone.
        theirs = told.replace(tzinfo=told.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return good("the homeserver does not tell its own", subject="clock")
    behind = theirs - time.time_ns() / 1e9
    text = f"{abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'} the homeserver's"
    if abs(behind) < _DOUBTFUL_CLOCK_S:
        return good("as the homeserver's", subject="clock")
    cure = "Have it set by the network: timedatectl set-ntp true"
    return bad(text, cure, subject="clock") if abs(behind) >= _BAD_CLOCK_S else doubtful(text, cure, subject="clock")


def _describe(features: Features) -> str:
    newest = f"Matrix {features.versions[-1].removeprefix('v')}" if features.versions else "no version of Matrix"
    direct = "direct push" if features.has_direct_push else "no direct push: push rules are judged here"
    return f"{features.software or 'software not told'}; {newest}; {direct}"


def _about(account: Account, what: str) -> str:
    return f"{account.user_id} {what}"
