"""Says what an answer of a token endpoint means: new tokens, the end of the session, or nothing yet."""

from __future__ import annotations

import json
from dataclasses import field
from typing import Any, TypeGuard

from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type

ENDINGS = frozenset({"invalid_grant", "invalid_client", "unauthorized_client"})
"""The errors that end a session (https://www.rfc-editor.org/rfc/rfc6749#section-5.2)."""
ENDING_STATUSES = (400, 401)
LONGEST_LIFE_S = 10 * 365 * 86400.0
MAX_TOKEN = 16 * 1024
"""In characters."""

_MAX_CODE, _MAX_WHY = 100, 200


@value_type
class TokenGrant:
    """Tokens, as the token endpoint gave them."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    """None: the endpoint gave none, and an earlier one stays good."""
    expires_in_s: float | None
    """How long the access token lives, in seconds; None: the endpoint does not say."""


@value_type
class Granted:
    """The endpoint gave tokens."""

    grant: TokenGrant


@value_type
class Ended:
    """The endpoint has no such session any more, by this OAuth error."""

    code: str


@value_type
class TryAgain:
    """Nothing came of the request, and nothing is lost."""

    after_s: float | None
    """The seconds to wait that the server asked for; None: it named none."""
    why: str
    """What came instead of tokens, in words for the user, like "HTTP 502"."""
    code: str = ""
    """The OAuth error, like "authorization_pending"; "": the answer had none."""


TokenAnswer = Granted | Ended | TryAgain


def judge_token_answer(status: int, content_type: str, body: bytes, retry_after_s: float | None) -> TokenAnswer:
    """What this answer means. `content_type` is the value of its header, `body` the whole of it.

    A proxy, a captive portal or a server under load answers as it likes, so only an OAuth error in JSON, with a status
    that goes with it, ends a session. Test: test_nothing_but_three_errors_in_json_ends_a_session.
    """
    answer = _object(body)
    if answer is None:
        return TryAgain(retry_after_s, f"HTTP {status}, without JSON")
    if status == 200:
        grant = _grant(answer)
        return TryAgain(retry_after_s, "HTTP 200, without tokens") if grant is None else Granted(grant)
    code = answer.get("error")
    if not isinstance(code, str) or not code:
        return TryAgain(retry_after_s, f"HTTP {status}")
    if code in ENDINGS and status in ENDING_STATUSES and _is_json(content_type):
        return Ended(code)
    code = clean_line(code, _MAX_CODE)
    said = answer.get("error_description")
    words = f"{code}: {said}" if isinstance(said, str) and said else code
    return TryAgain(retry_after_s, f"HTTP {status} {clean_line(words, _MAX_WHY)}", code)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _grant(answer: dict[str, Any]) -> TokenGrant | None:
    access_token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    # Another kind than Bearer is not sent as a Bearer token (RFC 6749, section 7.1).
    if not _is_token(access_token) or not isinstance(kind, str) or kind.lower() != "bearer":
        return None
    refresh_token = answer.get("refresh_token")
    return TokenGrant(
        access_token, refresh_token if _is_token(refresh_token) else None, _seconds(answer.get("expires_in"))
    )


def _is_token(text: object) -> TypeGuard[str]:
    """True for what RFC 6749, appendix A.12 allows, without spaces: the token stands in a header."""
    return isinstance(text, str) and 0 < len(text) <= MAX_TOKEN and all("!" <= each <= "~" for each in text)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_LIFE_S:
        return None
    return float(value)
