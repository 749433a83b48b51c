"""mxc: URIs from strangers."""

from __future__ import annotations

import pytest

from heliograph.core.mxc import clean_mxc, parse_mxc


@pytest.mark.parametrize(
    "uri",
    ["mxc://example.org/aBc-_9", "mxc://example.org:8448/a", "mxc://[::1]:80/a"],
)
def test_a_server_and_a_media_id(uri: str) -> None:
    assert clean_mxc(uri) == uri
    assert parse_mxc(uri) == tuple(uri[6:].rsplit("/", 1))


@pytest.mark.parametrize(
    "uri",
    [
        *("", "mxc://", "mxc://example.org", "mxc://example.org/", "mxc:///a", "http://example.org/a", None, 5),
        *("mxc://example.org/a/b", "mxc://example.org/../a", "mxc://example.org/a?b", "mxc://example.org/a#b"),
        *("mxc://exa mple/a", "mxc://example.org/ä", "mxc://example.org/a\n", "mxc://x/" + "a" * 300),
    ],
)
def test_what_else_it_may_be_is_none(uri: object) -> None:
    assert clean_mxc(uri) is None
