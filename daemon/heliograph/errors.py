"""The errors of Heliograph, named by what the caller has to do about each.

    HeliographError
     ├─ UserError            only the user can mend this: one sentence says what is wrong, one what to do
     │   └─ StateError       the state folder cannot be used (locked, read-only, of a newer version)
     ├─ ServerError          a request to the homeserver got no usable answer
     │   ├─ Unreachable      no whole and sane answer came: try again with back-off
     │   │   ├─ Dropped          we closed the connection ourselves, since it may be dead: no trouble by itself
     │   │   ├─ BadAnswer        something answered, but not as a working homeserver does
     │   │   ├─ AccountLocked    the account is locked, and will be served again once it is unlocked
     │   │   │   └─ TokenRefused     a fresh access token is refused, which an account locked elsewhere looks like
     │   │   └─ AnswerTooLarge   the answer went beyond the limit, and was not read to its end
     │   ├─ RateLimited      the server said when to come back
     │   ├─ Refused          a definite no: do not repeat the request unchanged
     │   └─ LoggedOut        the access token is no longer good
     ├─ StorageError         the disk failed (full, I/O error) and nothing was acknowledged: try again
     │   └─ Unstorable           the disk works, but one of the values cannot be stored: leave that one out
     └─ SecretsLocked        the secrets exist and are locked: wait, and never treat them as absent

This module imports nothing, so that every other may import it.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NEEDS_LOGIN = 77
"""Exit status after a soft logout: device and state are kept, and `heliograph login` signs them in again. systemd does
not restart the service after this status nor after 78 (`RestartPreventExitStatus` in systemd/heliograph.service).
Test: test_being_signed_out_is_told_once_and_ends_the_daemon."""
EXIT_CONFIG = 78
"""Exit status if configuration, state or account cannot work until the user changes something; sysexits.h calls this
number EX_CONFIG. Test: test_the_journal_knows_what_is_grave, where systemd does not restart the service."""


class HeliographError(Exception):
    """Base of all errors that this program raises on purpose. Its text fits into a sentence, and has no full stop."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why.rstrip("."))


class UserError(HeliographError):
    """Only the user can mend this. Shown as two sentences, without a traceback: `title` says what is wrong, `hint` what
    to do. `exit_code` is the status with which a command ends."""

    def __init__(self, title: str, hint: str, *, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(title)
        self.title = title if title.endswith((".", "?", "!", "…")) else f"{title}."
        self.hint = hint
        self.exit_code = exit_code


class StateError(UserError):
    """The state folder cannot be used: another daemon holds its lock, the disk is read-only, or a newer version of
    Heliograph wrote there."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__(title, hint, exit_code=EXIT_CONFIG)


class ServerError(HeliographError):
    """A request to the homeserver got no usable answer."""


class Unreachable(ServerError):
    """No whole and sane answer: connection refused or lost, time-out, 5xx, HTML from a proxy, broken JSON."""


class Dropped(Unreachable):
    """We closed the connection ourselves while waiting for the answer."""

    def __init__(self) -> None:
        super().__init__("the connection was dropped")


class BadAnswer(Unreachable):
    """5xx, a redirect, HTML from a proxy, or broken JSON. `status` is the HTTP status of that answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class AccountLocked(Unreachable):
    """M_USER_LOCKED (https://spec.matrix.org/v1.16/client-server-api/#account-locking): the homeserver's operator keeps
    the user out for a while. Device, access token and keys stay valid."""

    def __init__(self, why: str = "the account is locked by the homeserver") -> None:
        super().__init__(why)


class TokenRefused(AccountLocked):
    """The homeserver refuses an access token that was just renewed. Its answer does not say why: a server for OAuth 2.0
    has locked the account, or the device was removed at the homeserver only. Refresh token and keys stay.

    `after`: no new token is asked for before so many seconds have passed; only a new one finds out that this is over.
    """

    def __init__(self, after: float) -> None:
        super().__init__("a fresh access token is refused: the account may be locked, or this device removed")
        self.after = after


class AnswerTooLarge(Unreachable):
    """The answer is larger than the limit that goes with its request."""


class RateLimited(ServerError):
    """429. `after`: the seconds to wait that the server asked for, or None if it named none."""

    def __init__(self, why: str, after: float | None) -> None:
        super().__init__(why)
        self.after = after


class Refused(ServerError):
    """A definite no: a 4xx answer. `errcode` is the Matrix error code, or "" if the answer had none."""

    def __init__(self, status: int, errcode: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.errcode = errcode

    @property
    def is_unrecognized(self) -> bool:
        """True if the homeserver has no such endpoint, or not with this HTTP method. Any other refusal is of this one
        request.

        https://spec.matrix.org/v1.18/client-server-api/#common-error-codes
        """
        return self.status in (404, 405) and self.errcode == "M_UNRECOGNIZED"


class LoggedOut(ServerError):
    """401 M_UNKNOWN_TOKEN, or no token endpoint gives a new one (invalid_grant). `soft`: the device and its keys may
    still exist on the server, or come back with the next login; its keys are kept here.

    One such answer may be wrong (a worker that lags behind, a database restored from a backup), so nothing is deleted
    before `loops.sync.sign_out` has had the sign-out confirmed."""

    def __init__(self, *, soft: bool) -> None:
        super().__init__("signed out softly" if soft else "signed out")
        self.soft = soft


class StorageError(HeliographError):
    """The disk did not take a write, or could not be read. The whole transaction was undone."""


class Unstorable(StorageError):
    """One of the values breaks a constraint of the database, or is of no type that SQLite can store. Trying again does
    not help."""


class SecretsLocked(HeliographError):
    """The Secret Service is locked, and may hold the secret; unlocking was not possible, or the user dismissed it."""
