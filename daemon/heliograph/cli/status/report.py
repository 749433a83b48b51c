"""Writes the answer of `heliograph status` in words. Texts of servers are cleaned before they reach the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from heliograph.cli.output.crashes import read_crashes
from heliograph.cli.output.cures import read_cure
from heliograph.cli.output.times import local_time
from heliograph.core.text.clean import clean_line
from heliograph.errors import UserError
from heliograph.system.service_manager import to_restart, to_start

if TYPE_CHECKING:
    from heliograph.cli.status.stopped import StoppedAccount

_LIMIT = 300
_LABEL_WIDTH = 12


def report_running(status: dict[str, Any], known: Collection[str]) -> Iterator[str]:
    """Lines about a daemon that answered. `known`: the user ids of all accounts that it should serve."""
    desktop = _part(status, "desktop")
    server = _text(desktop.get("server")) or "none found, notifications wait for one"
    yield f"Heliograph {_text(status.get('version'))} runs since {local_time(status.get('started_ms'))}."
    yield _row("process", _text(status.get("pid")))
    yield _row("shown by", f"{_text(desktop.get('name'))} ({server})")
    yield _row("unread", _unread(status))
    if _part(status, "quiet").get("why"):
        yield _row("quiet", _quiet(_part(status, "quiet")))
    yield from _crashes(status)
    # The daemon may be of another version, so nothing in its answer is taken for granted.
    accounts = [account for account in status.get("accounts") or () if isinstance(account, dict)]
    for account in accounts:
        yield from _report_account(account)
    for user_id in sorted(set(known) - {str(account.get("user_id")) for account in accounts}):
        yield ""
        yield user_id
        yield _row("state", f"signed in after the start: {to_restart()}")


def report_stopped(accounts: Sequence[StoppedAccount], why_not: UserError | None = None) -> Iterator[str]:
    """Lines about accounts while no daemon answers. `why_not`: the mistake that keeps a daemon from starting."""
    if any(account.pid is not None for account in accounts):
        yield "Heliograph runs, but does not answer over D-Bus (is there a session bus?)."
    else:
        yield f"Heliograph is not running. To start it: {to_start()}"
        yield from report_mistake(why_not, "It cannot start")
    for account in accounts:
        yield ""
        yield f"{account.user_id} at {account.homeserver}"
        if account.signed_out is not None:
            yield _row("state", f"signed out; to sign in again: heliograph login {account.user_id}")
        yield from _sign_in(account.sign_in or {})
        if account.pid is not None:
            # UNKNOWN_PID is 0.
            yield _row("process", str(account.pid or "unknown"))
        if account.problem is not None:
            yield _row("ledger", _text(account.problem))
            continue
        yield _row("last sync", local_time(account.last_sync_ms))
        yield _row("pending", f"{account.pending}, on screen {account.shown}")
        if account.pid is None and account.silent:
            yield _row(
                "silent", f"{account.silent} of your other pushers; to switch them on: heliograph handoff --leave"
            )


def report_mistake(mistake: UserError | None, what: str) -> Iterator[str]:
    """Lines about a configuration that cannot be read: what is wrong, and what to do."""
    if mistake is not None:
        yield f"{what}: {_text(mistake.title)}"
        yield f"  {_text(mistake.hint)}"


def _report_account(account: dict[str, Any]) -> Iterator[str]:
    server, pusher = _part(account, "server"), _part(account, "pusher")
    yield ""
    yield f"{_text(account.get('user_id'))} at {_text(account.get('homeserver'))}"
    yield _row("state", _state(account))
    if cure := read_cure(account):
        yield _row("to do", cure)
    yield _row("last sync", local_time(account.get("last_sync_ms")))
    yield _row("pending", f"{_text(account.get('pending'))}, on screen {_text(account.get('shown'))}")
    yield _row("mode", " ".join(filter(None, (_text(account.get("mode")), _in_brackets(account.get("mode_reason"))))))
    yield _row("server", _server(server))
    yield _row("pusher", _pusher(pusher))
    yield _row("who rings", _handoff(_part(account, "handoff")))
    yield _row("fallback", _fallback(_part(account, "handoff")))
    yield from _relay(_part(account, "handoff"))
    if account.get("device"):
        yield _row("device", _device(account))
    yield from _sign_in(_part(account, "sign_in"))
    if account.get("rules_problem"):
        yield _row("push rules", _text(account["rules_problem"]))
    yield from _crashes(account)


def _sign_in(sign_in: dict[str, Any]) -> Iterator[str]:
    if not sign_in:
        return
    until_ms = sign_in.get("token_until_ms")
    until = f", with an access token until {local_time(until_ms)}" if until_ms else ""
    yield _row("signed in", f"by OAuth 2.0 at {_text(sign_in.get('issuer'))}{until}")
    if sign_in.get("account_page"):
        yield _row("its page", _text(sign_in["account_page"]))


def _crashes(part: dict[str, Any]) -> Iterator[str]:
    for crashed in read_crashes(part.get("tasks")):
        yield _row("trouble", f"{crashed.name}: {crashed.text}")


def _unread(status: dict[str, Any]) -> str:
    highlights = f", {_text(status['highlights'])} of them highlights" if status.get("highlights") else ""
    return f"{_text(status.get('unread'))}{highlights}"


def _quiet(quiet: dict[str, Any]) -> str:
    # Loaded here: most often it is not quiet.
    from heliograph.core.summary.summary import UNTIL_RESUMED

    until_ms = quiet.get("until_ms")
    until = ""
    if until_ms == UNTIL_RESUMED:
        until = ", until: heliograph resume"
    elif isinstance(until_ms, int) and until_ms > 0:
        until = f" until {local_time(until_ms)}"
    where = "; your other devices are not to ring either" if quiet.get("everywhere") is True else ""
    return f"{_text(quiet['why'])}{until}{where}"


def _state(account: dict[str, Any]) -> str:
    state = _text(account.get("state"))
    if state == "connected":
        return f"connected since {local_time(account.get('connected_since_ms'))}"
    why = _text(account.get("why"))
    return " ".join(filter(None, (state, _in_brackets(why if why != state else ""))))


def _device(account: dict[str, Any]) -> str:
    verify = f"heliograph verify {_text(account.get('user_id'))}"
    match account["device"]:
        case "verified":
            return "verified"
        case "unverified":
            return f"not verified, so others may send it no keys and messages show no text. To mend it: {verify}"
        case "no identity":
            return "not verified: the account has no identity yet. Set up secure backup in your other client"
        case "identity changed":
            return f"no longer trusts the account's identity, which was reset. If you did that: {verify}"
    return "not known yet whether it is verified"


def _server(server: dict[str, Any]) -> str:
    versions = server.get("versions")
    if not versions and not server.get("software"):
        return "not asked yet"
    newest = _text(versions[-1]) if isinstance(versions, list) and versions else "unknown"
    return ", ".join(
        (
            _text(server.get("software")) or "software not told",
            f"Matrix {newest.removeprefix('v')}",
            f"direct push (MSC3361): {_yes(server.get('direct_push'))}",
            f"switching pushers (MSC3881): {_yes(server.get('remote_toggle'))}",
        )
    )


def _pusher(pusher: dict[str, Any]) -> str:
    if pusher.get("silenced"):
        return "silenced by another of your clients"
    if not pusher.get("registered"):
        return "not registered yet"
    return "registered, enabled" if pusher.get("enabled") else "registered, switched off by another of your clients"


def report_handoff(account: dict[str, Any]) -> Iterator[str]:
    """Lines about who rings for one account."""
    handoff = _part(account, "handoff")
    yield _text(account.get("user_id"))
    yield _row("who rings", _handoff(handoff))
    yield _row("fallback", _fallback(handoff))
    yield from _relay(handoff)
    if handoff.get("trouble"):
        yield _row("trouble", f"{_text(handoff['trouble'])}; tried again")


def has_power_over_others(account: dict[str, Any]) -> bool:
    """Whether other devices of the account are silent while the user is here: by a relay, or switched off."""
    handoff = _part(account, "handoff")
    return handoff.get("set_up") == "relay" or bool(handoff.get("quiet"))


def _handoff(handoff: dict[str, Any]) -> str:
    place = "you are here" if handoff.get("present") is True else f"you count as away: {_text(handoff.get('why_away'))}"
    quiet = handoff.get("quiet")
    if handoff.get("set_up") == "relay" or handoff.get("relay") == "told":
        rings = "either this desktop or another device (relay)"
    elif isinstance(quiet, list) and quiet:
        rings = f"this desktop; silent meanwhile: {', '.join(_text(name) for name in quiet[:20])}"
    elif handoff.get("hushed"):
        rings = "other devices; silent here"
    else:
        rings = "everything: this desktop and your other devices"
    return f"{rings} ({place})"


def _fallback(handoff: dict[str, Any]) -> str:
    fallback = _text(handoff.get("fallback"))
    hint = "" if fallback in ("none", "registered") else "; see: heliograph fallback test"
    return f"{fallback}{hint}"


def _relay(handoff: dict[str, Any]) -> Iterator[str]:
    if (relay := _text(handoff.get("relay"))) not in ("", "none"):
        yield _row("relay", "told what rings here" if relay == "told" else relay)


def _row(label: str, value: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}}{value or '-'}"


def _text(value: object) -> str:
    return "" if value is None else clean_line(str(value), _LIMIT)


def _in_brackets(value: object) -> str:
    return f"({_text(value)})" if value else ""


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _part(values: dict[str, Any], key: str) -> dict[str, Any]:
    part = values.get(key)
    return part if isinstance(part, dict) else {}
