"""Compressed answers of push gateways: CDNs compress whatever was asked for. Source: RFC 9110, 8.4.1."""

from __future__ import annotations

import zlib

_GZIP = zlib.MAX_WBITS | 16
_ZLIB, _RAW = zlib.MAX_WBITS, -zlib.MAX_WBITS
_WINDOWS = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (_ZLIB, _RAW)}
"""`deflate` is zlib's format by the RFC, and often the bare one."""


def unpack(body: bytes, encoding: str, limit: int) -> bytes | None:
    """The answer in clear; None if it is compressed otherwise, broken, or longer than `limit` bytes."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    for window in _WINDOWS.get(encoding, ()):
        unpacker = zlib.decompressobj(window)
        try:
            clear = unpacker.decompress(body, limit + 1)
        except zlib.error:
            continue
        return clear if unpacker.eof and len(clear) <= limit else None
    return None
