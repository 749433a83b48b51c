"""Decides when the user is told that nothing comes from the homeserver any more, and in which words."""

from __future__ import annotations

from enum import Enum, auto

PATIENCE_S = 15 * 60.0
"""For how long nothing may work before it is told."""
ABOUT_SYNC, ABOUT_DISK = "sync", "disk"
"""The names of these notices (`about` in `ports.notices`)."""


class Cause(Enum):
    """Why no poll works, by what the user can do about it."""

    UNREACHABLE = auto()
    """No answer at all."""
    NO_HOMESERVER = auto()
    """An answer that no working homeserver gives."""
    UNAUTHORIZED = auto()
    """401 without the Matrix error that ends a session, as by a proxy that drops the access token."""
    BUSY = auto()
    """Each answer asks us to wait."""
    REFUSED = auto()
    STALE = auto()
    """Each poll is answered at once, with nothing new."""
    LOCKED = auto()
    """M_USER_LOCKED: the account is locked, and will be served again."""
    TOKEN_REFUSED = auto()
    """The homeserver refuses a fresh access token: the account is locked, or the device was removed there."""
    FAULT = auto()
    """A fault of our own."""


_AT_ONCE = frozenset({Cause.LOCKED, Cause.TOKEN_REFUSED})


class Outage:
    """How long no poll has worked. Times are seconds of a clock that nobody sets and that stands while the machine
    sleeps."""

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._told: Cause | None = None

    def end(self, now_s: float) -> None:
        """A poll worked."""
        self._since_s, self._told = now_s, None

    def take(self, cause: Cause, now_s: float, *, is_network_up: bool) -> bool:
        """Notes that a poll failed for this cause. Returns True if the user has to be told now: once in each outage,
        after PATIENCE_S with the network up. Only what waiting does not end is told at once (_AT_ONCE)."""
        # Without a network the homeserver is not to blame, and the user knows: the patience begins anew.
        if not is_network_up:
            self._since_s = now_s
        if self._told is None:
            is_due = cause in _AT_ONCE or now_s - self._since_s >= PATIENCE_S
        else:
            # A lock that follows another trouble is news all the same: it has another cure.
            is_due = cause in _AT_ONCE and self._told not in _AT_ONCE
        if is_due:
            self._told = cause
        return is_due


def word_outage(cause: Cause, server: str, said: str) -> tuple[str, str]:
    """Title and hint for the user. `said`: the text of the last error, like "answered HTTP 502"."""
    if cause is Cause.LOCKED:
        return (
            f"Your account at {server} is locked",
            "Ask whoever runs the homeserver to unlock it. Messages come again by themselves then.",
        )
    if cause is Cause.TOKEN_REFUSED:
        return (
            f"{server} refuses your sign-in",
            "If your account is locked, ask whoever runs the homeserver to unlock it: messages come again then. If "
            "this device was removed, sign in again: heliograph login",
        )
    return (
        f"Not connected to {server} for 15 minutes",
        f"{_explain(cause, said)} Messages wait there until it works. How it stands: heliograph status",
    )


def word_disk(said: str) -> tuple[str, str]:
    """Title and hint for a disk on which nothing can be written. `said` as above."""
    return "Heliograph cannot write to disk", f"Free some space or mend the disk: {said}."


def _explain(cause: Cause, said: str) -> str:
    match cause:
        case Cause.UNREACHABLE:
            return f"The homeserver cannot be reached: {said}. If all else on the network works, ask whoever runs it."
        case Cause.NO_HOMESERVER:
            return (
                f"What answers is not a homeserver in order: {said}. If this network wants you to sign in, open a web "
                "page; else ask whoever runs the homeserver."
            )
        case Cause.UNAUTHORIZED:
            return (
                f"The homeserver {said}, but not that you were signed out. A proxy in front of it may drop the access "
                "token: ask whoever runs it."
            )
        case Cause.BUSY:
            return f"The homeserver wants fewer requests, each time ({said}). Ask whoever runs it to allow for more."
        case Cause.STALE:
            return (
                "The homeserver answers at once each time, and with nothing new, as the cache of a proxy does. Ask "
                "whoever runs it to keep /sync out of caches."
            )
        case Cause.FAULT:
            return (
                "Heliograph fails at something it gets. Please report that, with the log: "
                "journalctl --user -u heliograph."
            )
    return f"The homeserver does not serve this device: {said}. Ask whoever runs it."
