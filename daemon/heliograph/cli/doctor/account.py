"""One account: its secret, its homeserver, its device there, its pusher, the clock, its ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import parsedate_to_datetime

from heliograph.accounts import Account, state_folder
from heliograph.cli.doctor.finding import Finding, bad, doubtful, good
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.text.clean import count_things
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
    UserError,
)
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.login import knows_token
from heliograph.homeserver.session import Session
from heliograph.loops.pushers import APP_ID
from heliograph.ports.homeserver import Features
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import decode_secret
from heliograph.store.ledger import LEDGER_NAME, open_readonly
from heliograph.system.service_manager import to_restart, to_start

_TIMEOUT_S = 20.0
_KEYRING_S = 5.0
_DOUBTFUL_CLOCK_S = 30.0
_BAD_CLOCK_S = 300.0


async def check_account(account: Account) -> list[Finding]:
    """Every wait is bounded."""
    findings = await _check_ledger(account)
    token, secret = await _check_secret(account)
    findings.append(secret)
    session = Session(
        account.homeserver, access_token=token or "", user_id=account.user_id, device_id=account.device_id
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            findings += [finding async for finding in _ask(account, session, is_signed_in=token is not None)]
    except TimeoutError:
        findings.append(bad(_about(account, "homeserver"), f"no answer within {_TIMEOUT_S:g} s", _NETWORK))
    finally:
        await session.close()
    return findings


_NETWORK = "Check the network, and that the homeserver is up."
_SERVER = "Try again later, or ask whoever runs the homeserver and what stands in front of it."


async def _check_ledger(account: Account) -> list[Finding]:
    subject = _about(account, "ledger")
    folder = state_folder(account.user_id)
    if not await asyncio.to_thread((folder / LEDGER_NAME).exists):
        return [doubtful(subject, "never started yet", f"Start the daemon once: {to_start()}")]
    try:
        ledger = await open_readonly(folder)
        try:
            counts, unreadable, aside = await ledger.counts(), await ledger.unreadable(), await ledger.set_aside()
        finally:
            await ledger.close()
    except StateError as error:
        return [bad(subject, error.title, error.hint)]
    except StorageError as error:
        return [bad(subject, str(error), "Check the disk.")]
    waiting = counts["pending"]
    rest = f", {waiting} of them {'waits' if waiting == 1 else 'wait'}" if waiting else ""
    findings = [good(subject, f"{sum(counts.values())} rang{rest}")]
    if unreadable:
        text = f"{count_things(len(unreadable), 'row')} cannot be read, such as {unreadable[-1].words}"
        cure = f"Start the daemon anew, which sets aside these alone: {await asyncio.to_thread(to_restart)}"
        findings.append(bad(subject, text, cure))
    if aside:
        text = f"{count_things(len(aside), 'row')} could not be read and went aside, such as {aside[-1].words}"
        findings.append(doubtful(subject, text, "Look into your Matrix client for what it told of. Check the disk."))
    return findings


async def _check_secret(account: Account) -> tuple[str | None, Finding]:
    subject = _about(account, "secret")
    try:
        store = open_secrets(account.secrets)
        async with asyncio.timeout(_KEYRING_S):
            text = await store.load(account.user_id)
        if text is None:
            return None, bad(subject, f"gone from the {store.name}", f"heliograph login {account.user_id}")
        return decode_secret(account.user_id, text).access_token, good(subject, f"in the {store.name}")
    except SecretsLocked:
        return None, bad(subject, "the keyring is locked", "Unlock it, for example by logging in to your desktop.")
    except TimeoutError:
        return None, bad(subject, "the keyring does not answer", "Unlock it, or restart it.")
    except UserError as error:
        return None, bad(subject, error.title, error.hint)


async def _ask(account: Account, session: Session, *, is_signed_in: bool) -> AsyncIterator[Finding]:
    homeserver = HomeserverClient(session)
    subject = _about(account, "homeserver")
    try:
        features = await homeserver.features()
    except LoggedOut as gone:
        # Synapse checks the token there, too.
        yield good(subject, account.homeserver)
        yield await _refused(account, session, gone)
        return
    except AccountLocked:
        # There, too.
        yield good(subject, account.homeserver)
        yield _locked(account)
        return
    except (BadAnswer, Refused, RateLimited) as error:
        yield bad(subject, f"{account.homeserver}: it {error}", _SERVER)
        return
    except ServerError as error:
        yield bad(subject, f"{account.homeserver}: {error}", _NETWORK)
        return
    yield good(subject, f"{account.homeserver}, {_describe(features)}")
    yield _check_clock(session)
    if not is_signed_in:
        return
    subject = _about(account, "pusher")
    try:
        pushers = await homeserver.pushers()
    except LoggedOut as gone:
        yield await _refused(account, session, gone)
    except AccountLocked:
        yield _locked(account)
    except ServerError as error:
        yield bad(subject, str(error), "heliograph pushers list")
    else:
        yield _check_pusher(subject, pushers, account)


def _locked(account: Account) -> Finding:
    how = "the account is locked by the homeserver"
    return bad(_about(account, "device"), how, "Ask whoever runs the homeserver to unlock it.")


async def _refused(account: Account, session: Session, gone: LoggedOut) -> Finding:
    """One answer proves little, and nothing is done about it here: whoami is asked, and what both say is told."""
    subject = _about(account, "device")
    try:
        is_known = await knows_token(session)
    except ServerError as error:
        return bad(subject, f"its access token is refused, and whoami does not confirm that: it {error}", _SERVER)
    if is_known:
        return bad(subject, "its access token is refused in one place, and known to whoami: not signed out", _SERVER)
    what = "signed out softly, and its device waits for a new login" if gone.soft else "signed out"
    text = f"its access token is refused, and whoami confirms that: {what}"
    return bad(subject, text, f"heliograph login {account.user_id}")


def _check_pusher(subject: str, pushers: tuple[Pusher, ...], account: Account) -> Finding:
    own = next((each for each in pushers if (each.app_id, each.pushkey) == (APP_ID, account.pushkey)), None)
    count = sum(each.kind == "http" for each in pushers)
    others = (
        "no other of yours rings" if not count else count_things(count, "other of yours rings", "others of yours ring")
    )
    if own is None:
        return doubtful(subject, f"not registered, {others}", "Start the daemon, which registers it.")
    if not own.is_enabled:
        return doubtful(subject, f"switched off by another of your clients, {others}", "heliograph pushers list")
    return good(subject, f"registered, {others}")


def _check_clock(session: Session) -> Finding:
    try:
        told = parsedate_to_datetime(session.server_date)
        # "-0000" is UTC, too (RFC 5322, 3.3), and would be taken for this machine's time zone.
        theirs = told.replace(tzinfo=told.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return good("clock", "the homeserver does not tell its own")
    behind = theirs - time.time_ns() / 1e9
    text = f"{abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'} the homeserver's"
    if abs(behind) < _DOUBTFUL_CLOCK_S:
        return good("clock", "as the homeserver's")
    cure = "Have it set by the network: timedatectl set-ntp true"
    return bad("clock", text, cure) if abs(behind) >= _BAD_CLOCK_S else doubtful("clock", text, cure)


def _describe(features: Features) -> str:
    newest = f"Matrix {features.versions[-1].removeprefix('v')}" if features.versions else "no version of Matrix"
    direct = "direct push" if features.has_direct_push else "no direct push: push rules are judged here"
    return f"{features.software or 'software not told'}; {newest}; {direct}"


def _about(account: Account, what: str) -> str:
    return f"{account.user_id} {what}"
