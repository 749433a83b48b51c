"""Where a request came from."""

from __future__ import annotations

import ipaddress
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from heliograph.relay.proxy.addresses import Proxies, read_address

PROXIES = Proxies([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")])


def test_only_trusted_proxies_are_believed() -> None:
    assert PROXIES.are_trusted("10.1.2.3")
    assert PROXIES.are_trusted("::ffff:10.1.2.3")
    assert not PROXIES.are_trusted("192.0.2.1")
    assert not PROXIES.are_trusted(None)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1:41234 ", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", None),
        ("_hidden", None),
        ("proxy.example.org:80", None),
        ("[2001:db8::1]x", None),
        ("[", None),
        ("", None),
        ("192.0.2.1:1:2", None),
    ],
)
def test_an_address_is_read_as_proxies_write_it(text: str, address: str | None) -> None:
    read = read_address(text)
    assert (None if read is None else str(read)) == address


@pytest.mark.parametrize(
    ("peer", "way", "client"),
    [
        ("192.0.2.1", "203.0.113.1", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "203.0.113.1:4711", "203.0.113.1"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.1, [::1]:80, 10.0.0.2:1", "203.0.113.1"),
    ],
)
def test_the_client_is_the_last_one_that_is_no_trusted_proxy(peer: str, way: str, client: str) -> None:
    assert PROXIES.client_of(request(peer, way)) == client


@pytest.mark.parametrize("way", [None, "", "unknown", "203.0.113.1, unknown", "203.0.113.1,", "10.0.0.2", "nonsense"])
def test_whom_a_proxy_does_not_name_is_nobody(way: str | None) -> None:
    assert PROXIES.client_of(request("10.0.0.1", way)) is None


def request(peer: str, way: str | None) -> Mock:
    headers = {} if way is None else {"X-Forwarded-For": way}
    return Mock(remote=peer, headers=make_mocked_request("GET", "/", headers=headers).headers)
