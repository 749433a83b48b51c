"""Which gateways may be asked."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from heliograph.relay.queue.targets import TargetPolicy, host_of, parse_networks

PATH = "/_matrix/push/v1/notify"


@pytest.mark.parametrize(
    "address",
    [
        *(
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
        ),
        *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *(
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
        ),
        *("64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::", "3fff::1"),
        *("5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1"),
    ],
)
def test_what_is_not_public_is_not_permitted(address: str) -> None:
    assert not TargetPolicy().permits(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "172.15.0.1", "172.32.0.1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2606:4700::1"]
)
def test_what_is_public_is_permitted(address: str) -> None:
    assert TargetPolicy().permits(ip_address(address))


def test_a_network_of_the_configuration_is_permitted_and_no_other() -> None:
    policy = TargetPolicy(allowed=parse_networks(["10.1.0.0/16", "fd00::/8"]))
    assert policy.permits(ip_address("10.1.2.3"))
    assert policy.permits(ip_address("::ffff:10.1.2.3"))
    assert policy.permits(ip_address("fd00::1"))
    assert not policy.permits(ip_address("10.2.0.1"))
    assert not policy.permits(ip_address("127.0.0.1"))


def test_loopback_by_configuration_opens_nothing_else() -> None:
    policy = TargetPolicy(has_http_loopback=True)
    assert policy.permits(ip_address("127.0.0.1"))
    assert policy.permits(ip_address("::1"))
    assert not policy.permits(ip_address("192.168.0.1"))
    assert not policy.permits(ip_address("0.0.0.0"))


@pytest.mark.parametrize(
    "url",
    [
        f"http://gateway.example{PATH}",
        f"ftp://gateway.example{PATH}",
        f"https://127.0.0.1{PATH}",
        f"https://[::1]{PATH}",
        f"https://[::ffff:127.0.0.1]{PATH}",
        f"https://[fe80::1%25eth0]{PATH}",
        f"https://127.1{PATH}",
        f"https://2130706433{PATH}",
        f"https://0x7f000001{PATH}",
        f"https://0177.0.0.1{PATH}",
        f"https://127.0.0.1.{PATH}",
        f"https://user:password@gateway.example{PATH}",
        "https://gateway.example/",
        f"https://gateway.example/prefix{PATH}",
        f"https://gateway.example:99999{PATH}",
        f"https://{PATH}",
        f"//gateway.example{PATH}",
        "gateway.example",
        "https://[::1",
        "",
        f"https://gateway.example{PATH}?{'a' * 3000}",
    ],
)
def test_a_url_that_cannot_be_a_gateways_is_refused_in_a_sentence(url: str) -> None:
    refusal = TargetPolicy().refusal(url)
    assert refusal is not None
    assert refusal.startswith("A push gateway")


@pytest.mark.parametrize(
    "url", [f"https://gateway.example{PATH}", f"https://gateway.example:8443{PATH}?a=b", f"https://1.1.1.1{PATH}"]
)
def test_a_gateways_url_is_taken(url: str) -> None:
    assert TargetPolicy().refusal(url) is None


def test_http_to_this_machine_is_taken_by_configuration() -> None:
    policy = TargetPolicy(has_http_loopback=True)
    assert policy.refusal(f"http://127.0.0.1:8080{PATH}") is None
    assert policy.refusal(f"http://[::1]:8080{PATH}") is None
    assert policy.refusal(f"http://localhost:8080{PATH}") is None
    assert policy.refusal(f"http://gateway.example{PATH}") is not None
    assert policy.refusal(f"http://10.0.0.1{PATH}") is not None


class Names(AbstractResolver):
    """One name, which leads to these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not self._addresses:
            raise OSError("no such name")
        return [
            ResolveResult(hostname=host, host=each, port=port, family=socket.AF_INET, proto=0, flags=0)
            for each in self._addresses
        ]

    async def close(self) -> None:
        pass


async def test_http_in_a_private_network_is_taken_if_the_configuration_names_it() -> None:
    policy = TargetPolicy(allowed=parse_networks(["192.168.1.0/24"]))
    url, name = f"http://192.168.1.5:8080{PATH}", f"http://ntfy.lan{PATH}"
    assert await policy.refusal_of(url) is None
    assert await policy.refusal_of(name, Names("192.168.1.5")) is None
    assert "allow_networks" in (await policy.refusal_of(name, Names("192.168.2.5")) or "")
    # Public addresses are reached by https alone.
    assert "by plain http" in (await policy.refusal_of(name, Names("1.1.1.1")) or "")
    assert "allow_networks" in (await TargetPolicy().refusal_of(url) or "")


async def test_a_name_that_leads_inside_is_refused_when_it_is_set_and_one_that_is_not_known_now_is_taken() -> None:
    url = f"https://ntfy.lan{PATH}"
    assert "allow_networks" in (await TargetPolicy().refusal_of(url, Names("10.0.0.1")) or "")
    assert await TargetPolicy().refusal_of(url, Names("1.1.1.1")) is None
    assert await TargetPolicy().refusal_of(url, Names()) is None


def test_logs_name_a_gateway_by_host_and_port() -> None:
    assert host_of("https://gateway.example/_matrix/push/v1/notify?secret=1") == "gateway.example:443"
    assert host_of("https://[::1") == ""
