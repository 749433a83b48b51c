"""Checks mxc: URIs, which name files at homeservers.

Source: Client-Server API, "Matrix Content (mxc://) URIs", security considerations included.
"""

from __future__ import annotations

import re

_LONGEST = 255
# Strict, since both parts go into the path of a request: dots or slashes in a media id could lead it elsewhere.
_MXC = re.compile(r"mxc://([A-Za-z0-9.:\[\]-]{1,230})/([A-Za-z0-9_-]{1,128})")


def parse_mxc(uri: object) -> tuple[str, str] | None:
    """The server name and media id of an mxc: URI; None if `uri` is no such URI."""
    found = _MXC.fullmatch(uri) if isinstance(uri, str) and len(uri) <= _LONGEST else None
    return None if found is None else (found[1], found[2])


def clean_mxc(uri: object) -> str | None:
    """`uri` if that is an mxc: URI, else None."""
    return uri if isinstance(uri, str) and parse_mxc(uri) is not None else None
