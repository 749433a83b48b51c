"""What is asked of an authorization server when signing in by OAuth 2.0, and what comes of that.

https://spec.matrix.org/v1.18/client-server-api/#oauth-20-api
"""

from __future__ import annotations

import base64
import hashlib
import re
from enum import Enum
from typing import Final
from urllib.parse import quote

from heliograph.core.value_type import value_type

_API = "urn:matrix:client:api:*"
_DEVICE = "urn:matrix:client:device:"
_DEVICE_ID = re.compile(r"[A-Za-z0-9._~-]{10,255}")
"""https://spec.matrix.org/v1.18/client-server-api/#device-id-allocation: unreserved characters of RFC 3986, and ten of
them at least."""
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DEVICE_ID_LENGTH: Final = 12
_SLOWER_S: Final = 5.0
_MAX_WAIT_S: Final = 60.0

_DELETE = ("org.matrix.device_delete", "org.matrix.session_end")
_VIEW = ("org.matrix.device_view", "org.matrix.session_view")
"""Actions of MSC4191: the specification's name, and the one of before."""


class CodePoll(Enum):
    """What an answer that grants nothing means for one who waits until a user code was entered (RFC 8628, section
    3.5)."""

    PENDING = "nobody has entered the code yet"
    SLOWER = "the server wants to be asked less often"
    DENIED = "the sign-in was cancelled in the browser"
    EXPIRED = "the code was not entered in time"
    REFUSED = "the server does not take the code"
    AGAIN = "no usable answer came"


_POLLS = {
    "authorization_pending": CodePoll.PENDING,
    "slow_down": CodePoll.SLOWER,
    "access_denied": CodePoll.DENIED,
    "expired_token": CodePoll.EXPIRED,
}
_REFUSALS = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "invalid_scope"),
        *("unauthorized_client", "unsupported_grant_type"),
    }
)
"""https://www.rfc-editor.org/rfc/rfc6749#section-5.2"""


@value_type
class Proof:
    """The secret with which a code is redeemed, and what is told of it beforehand (RFC 7636)."""

    verifier: str
    challenge: str

    def __repr__(self) -> str:
        return "Proof(...)"


def prove_by(random: bytes) -> Proof:
    """The proof made of at least 32 random bytes."""
    verifier = _base64url(random)
    return Proof(verifier, _base64url(hashlib.sha256(verifier.encode()).digest()))


def scope_for(device_id: str) -> str:
    """The scope that makes the session one of this device, with all of the Client-Server API."""
    return f"{_API} {_DEVICE}{device_id}"


def is_device_id(text: str) -> bool:
    """True if OAuth 2.0 can sign in a device with this id. Other ways to sign in take ids that this one does not."""
    return _DEVICE_ID.fullmatch(text) is not None


def make_device_id(random: bytes) -> str:
    """A new device id, made of at least 12 random bytes."""
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in random[:_DEVICE_ID_LENGTH])


def judge_poll(error: str) -> CodePoll:
    """`error` is the error code of an answer in OAuth's form; empty: the answer had no such form."""
    return CodePoll.REFUSED if error in _REFUSALS else _POLLS.get(error, CodePoll.AGAIN)


def next_wait_s(wait_s: float, poll: CodePoll) -> float:
    """How long to wait before the next question, after `wait_s` and this answer (RFC 8628, section 3.5)."""
    match poll:
        case CodePoll.SLOWER:
            return min(wait_s + _SLOWER_S, _MAX_WAIT_S)
        case CodePoll.AGAIN:
            return min(2 * wait_s, _MAX_WAIT_S)
    return wait_s


def link_to_device(page: str, actions: tuple[str, ...], device_id: str, *, to_delete: bool) -> str:
    """The URL at which the user sees this device, or signs it out, in a browser: `page` with an action of MSC4191.

    Where `actions` lists none for that, the page itself; "" if there is no page.
    """
    action = next((each for each in (_DELETE if to_delete else _VIEW) if each in actions), None)
    if not page or action is None:
        return page
    joint = "&" if "?" in page else "?"
    return f"{page}{joint}action={quote(action, safe='')}&device_id={quote(device_id, safe='')}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
