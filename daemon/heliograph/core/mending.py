"""Takes out of JSON what a stranger can put in and a parser stops at, so that one event cannot spoil a whole answer.

Done only to a body that does not parse, or to an event that looks too deep: good answers pay nothing for it. msgspec
refuses a whole body for a lone surrogate, NaN or deep nesting; mended, its other events still ring.
Test: test_what_a_parser_stops_at_is_replaced.
"""

from __future__ import annotations

import re

MAX_DEPTH = 64
"""Levels of an event that are read. Real ones have less than ten; a thousand end a recursive reader."""

_CONTROL = bytes.maketrans(bytes(range(32)), b" " * 32)
# A whole pair of surrogates is tried first, so that only a lone half is replaced. The last branch takes any other
# escape as one, a doubled backslash too: what looks like an escape behind that is plain text.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
# Strings are matched whole and passed over. The quantifiers are possessive, so that hostile input is never tried twice.
_NOT_A_NUMBER = re.compile(rb'("(?:[^"\\]++|\\.)*+")|-?Infinity|NaN', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


def mend(body: bytes, depth: int) -> bytes:
    """The same JSON in UTF-8, without bare control characters, lone surrogates, NaN or levels beyond `depth`."""
    # Decoded and encoded again, so that bytes which are no UTF-8 become U+FFFD.
    text = body.decode(errors="replace").encode().translate(_CONTROL)
    text = _ESCAPE.sub(_paired, text)
    # The expression has to pass over all strings, in which the words may stand: so it runs only if there are any.
    if b"NaN" in text or b"Infinity" in text:
        text = _NOT_A_NUMBER.sub(_string_or_null, text)
    return cut(text, depth)


def cut(body: bytes, depth: int) -> bytes:
    """The same JSON with null in place of what is nested deeper than `depth`."""
    level = 0
    kept_until = 0
    pieces: list[bytes] = []
    for token in _TOKEN.finditer(body):
        first = token[0][:1]
        if first in b"[{":
            level += 1
            if level == depth + 1:
                pieces += [body[kept_until : token.start()], b"null"]
        elif first in b"]}":
            level -= 1
            if level == depth:
                kept_until = token.end()
    if level > depth:
        return body  # breaks off, so there is nothing to save
    return b"".join([*pieces, body[kept_until:]]) if pieces else body


def _paired(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]


def _string_or_null(token: re.Match[bytes]) -> bytes:
    return token[1] or b"null"
