"""Checks the running daemon and the state of its accounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from heliograph import __version__
from heliograph.accounts import Account, state_folder
from heliograph.cli.output.crashes import read_crashes
from heliograph.cli.output.cures import read_cure
from heliograph.core.finding import Finding, bad, doubtful, good
from heliograph.core.text.clean import clean_line
from heliograph.store.lock import is_held
from heliograph.system.service_manager import to_restart, to_start

_LIMIT = 200
_CURES = {
    "offline": "It goes on trying. Check the network, and the homeserver below.",
    "waiting for keyring": "Unlock your keyring.",
    "signed out": "heliograph login {user_id}",
}


def check_daemon(status: dict[str, Any] | None, accounts: Sequence[Account]) -> Iterator[Finding]:
    """All findings about the daemon. `status`: its answer to `ask_status`, if there was one."""
    if status is None:
        # The ledger's lock goes with its process: who holds one runs, even if D-Bus hears nothing of it.
        if any(is_held(state_folder(account.user_id)) is not None for account in accounts):
            yield bad("runs, and does not answer over D-Bus", to_restart(), subject="daemon")
        else:
            yield bad("does not run", to_start(), subject="daemon")
        return
    version = clean_line(str(status.get("version")), _LIMIT)
    if version == __version__:
        yield good(f"runs, version {version}", subject="daemon")
    else:
        text = f"runs in version {version}, and this is {__version__}"
        yield doubtful(text, to_restart(), subject="daemon")
    told = status.get("accounts")
    states = {each.get("user_id"): each for each in told if isinstance(each, dict)} if isinstance(told, list) else {}
    yield from _check_tasks("daemon", status)
    for account in accounts:
        told_of_it = states.get(account.user_id)
        yield _check_account(account, told_of_it)
        if told_of_it is not None:
            yield from _check_standing(account, told_of_it.get("device"))
            yield from _check_tasks(account.user_id, told_of_it)


def _check_account(account: Account, told: dict[str, Any] | None) -> Finding:
    subject = f"{account.user_id} runs"
    if told is None:
        return bad("signed in after the start", to_restart(), subject=subject)
    state, why = (clean_line(str(told.get(key) or ""), _LIMIT) for key in ("state", "why"))
    if state == "connected":
        return good("connected", subject=subject)
    text = f"{state} ({why})" if why not in ("", state) else state
    if state == "connecting" and "keyring" in why:
        return doubtful(text, "Unlock your keyring: it may be asking for its password.", subject=subject)
    if state == "connecting":
        return doubtful(text, "Wait a moment.", subject=subject)
    cure = read_cure(told) or _CURES.get(state, "heliograph status").format(user_id=account.user_id)
    return bad(text, cure, subject=subject)


def _check_tasks(owner: str, told: dict[str, Any]) -> Iterator[Finding]:
    """A finding for each task that crashed within the last hour. Each such crash is a fault of ours."""
    for crashed in read_crashes(told.get("tasks")):
        judge = bad if crashed.is_down else doubtful
        cure = "See why, and report it: journalctl --user -u heliograph -e"
        yield judge(crashed.text, cure, subject=f"{owner} {crashed.name}")


def _check_standing(account: Account, standing: Any) -> Iterator[Finding]:
    """The finding about the trust of the user's other clients in this device: one they do not trust gets no keys."""
    subject = f"{account.user_id} encryption"
    verify = f"heliograph verify {account.user_id}"
    match standing:
        case "verified":
            yield good("verified by you", subject=subject)
        case "unverified":
            yield doubtful("not verified: others may send no keys, and messages show no text", verify, subject=subject)
        case "no identity":
            yield doubtful(
                "the account has no identity yet", "Set up secure backup in your other client.", subject=subject
            )
        case "identity changed":
            yield doubtful("the account's identity was reset", f"If you did that: {verify}", subject=subject)
