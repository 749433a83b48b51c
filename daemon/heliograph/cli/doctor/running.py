"""The daemon that runs, and how its accounts fare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from heliograph import __version__
from heliograph.accounts import Account, state_folder
from heliograph.cli.doctor.finding import Finding, bad, doubtful, good
from heliograph.cli.output.crashes import read_crashes
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
    """`status` is its answer, if it gave one."""
    if status is None:
        if any(is_held(state_folder(account.user_id)) is not None for account in accounts):
            yield bad("daemon", "runs, and does not answer over D-Bus", to_restart())
        else:
            yield bad("daemon", "does not run", to_start())
        return
    version = clean_line(str(status.get("version")), _LIMIT)
    if version == __version__:
        yield good("daemon", f"runs, version {version}")
    else:
        text = f"runs in version {version}, and this is {__version__}"
        yield doubtful("daemon", text, to_restart())
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
        return bad(subject, "signed in after the start", to_restart())
    state, why = (clean_line(str(told.get(key) or ""), _LIMIT) for key in ("state", "why"))
    if state == "connected":
        return good(subject, "connected")
    text = f"{state} ({why})" if why not in ("", state) else state
    if state == "connecting" and "keyring" in why:
        return doubtful(subject, text, "Unlock your keyring: it may be asking for its password.")
    if state == "connecting":
        return doubtful(subject, text, "Wait a moment.")
    return bad(subject, text, _CURES.get(state, "heliograph status").format(user_id=account.user_id))


def _check_tasks(owner: str, told: dict[str, Any]) -> Iterator[Finding]:
    """What crashed within the last hour: each of these is a fault of ours."""
    for crashed in read_crashes(told.get("tasks")):
        judge = bad if crashed.is_down else doubtful
        yield judge(
            f"{owner} {crashed.name}", crashed.text, "See why, and report it: journalctl --user -u heliograph -e"
        )


def _check_standing(account: Account, standing: Any) -> Iterator[Finding]:
    """Of the device with its owner's other clients: who is not trusted is sent no keys."""
    subject = f"{account.user_id} encryption"
    verify = f"heliograph verify {account.user_id}"
    match standing:
        case "verified":
            yield good(subject, "verified by you")
        case "unverified":
            yield doubtful(subject, "not verified: others may send no keys, and messages show no text", verify)
        case "no identity":
            yield doubtful(subject, "the account has no identity yet", "Set up secure backup in your other client.")
        case "identity changed":
            yield doubtful(subject, "the account's identity was reset", f"If you did that: {verify}")
