"""What can go wrong, named by what to do about it.

    HeliographError
     ├─ UserError            only the user can mend it: one sentence of what is wrong, one of what to do
     │   └─ StateError       the state folder cannot be used (locked, read-only, newer version)
     ├─ ServerError          a homeserver call that did not give its answer
     │   ├─ Unreachable      no (whole, sane) answer came: try again with back-off
     │   │   ├─ Dropped          we closed the connection ourselves, since it may be dead: no trouble by itself
     │   │   ├─ BadAnswer        something answered, but not as a homeserver in order does
     │   │   ├─ AccountLocked    the account is locked, and will be served again once it is unlocked
     │   │   └─ AnswerTooLarge   the answer went on beyond the limit, and was not read to its end
     │   ├─ RateLimited      the server said when to come back
     │   ├─ Refused          a definite no to this request: do not repeat it unchanged
     │   └─ LoggedOut        the access token is no longer good
     ├─ StorageError         the disk did not take it (full, I/O error): nothing was acknowledged, try again
     │   └─ Unstorable           the disk is in order, and something in this cannot be kept: leave that out
         SecretsLocked       the secrets exist and are locked: wait, never treat as absent

Kept free of imports: everything may use it.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NEEDS_LOGIN = 77
"""Signed out softly: the device and its state are kept, `heliograph login` brings them back."""
EXIT_CONFIG = 78
"""Configuration, state or account cannot work until the user changes something."""


class HeliographError(Exception):
    """Base of everything this program raises on purpose. Its text has no full stop, and fits into a sentence."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why.rstrip("."))


class UserError(HeliographError):
    """Only the user can mend it. Shown as two sentences, without a traceback. `title` is a whole one."""

    def __init__(self, title: str, hint: str, *, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(title)
        self.title = title if title.endswith((".", "?", "!", "…")) else f"{title}."
        self.hint = hint
        self.exit_code = exit_code


class StateError(UserError):
    """The state folder cannot be used: another daemon has it, it is read-only, or a newer version wrote it."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__(title, hint, exit_code=EXIT_CONFIG)


class ServerError(HeliographError):
    """A homeserver call did not give its answer."""


class Unreachable(ServerError):
    """No whole and sane answer: connection refused or lost, time-out, 5xx, HTML from a proxy, broken JSON."""


class Dropped(Unreachable):
    """The connection was closed by ourselves, while the answer was waited for."""

    def __init__(self) -> None:
        super().__init__("the connection was dropped")


class BadAnswer(Unreachable):
    """5xx, a redirect, HTML from a proxy, broken JSON. `status` is the HTTP status it came with."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class AccountLocked(Unreachable):
    """M_USER_LOCKED (https://spec.matrix.org/v1.16/client-server-api/#account-locking): whoever runs the homeserver
    keeps the user out for a while. Device, token and keys stay as they are."""

    def __init__(self) -> None:
        super().__init__("the account is locked by the homeserver")


class AnswerTooLarge(Unreachable):
    """The answer is larger than the request allowed for."""


class RateLimited(ServerError):
    """429. `after` is the number of seconds the server asked for, or None if it named none."""

    def __init__(self, why: str, after: float | None) -> None:
        super().__init__(why)
        self.after = after


class Refused(ServerError):
    """A definite no: 4xx with or without a Matrix error code (`errcode` is "" when there was none)."""

    def __init__(self, status: int, errcode: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.errcode = errcode

    @property
    def is_unrecognized(self) -> bool:
        """The homeserver has no such endpoint, or not with this method. Any other no is to this one request.

        https://spec.matrix.org/v1.18/client-server-api/#common-error-codes
        """
        return self.status in (404, 405) and self.errcode == "M_UNRECOGNIZED"


class LoggedOut(ServerError):
    """401 M_UNKNOWN_TOKEN. `soft`: the device and its keys still exist on the server. One answer may be wrong (a worker
    that lags behind, a backup that was played back): what is done for good is done only once it is confirmed."""

    def __init__(self, *, soft: bool) -> None:
        super().__init__("signed out softly" if soft else "signed out")
        self.soft = soft


class StorageError(HeliographError):
    """The disk did not take a write, or could not be read. Nothing of the transaction was kept."""


class Unstorable(StorageError):
    """Something in it breaks a rule of the database, or is none of its types. Trying again does not mend it."""


class SecretsLocked(HeliographError):
    """The Secret Service holds the secret but is locked; unlocking was not possible or was dismissed."""
