"""Whether the network is up is asked of the kernel: in network namespaces, whose routes the test makes."""

from __future__ import annotations

import subprocess
import sys

import pytest

URLS = {
    "loopback": "http://127.0.0.1:8008",
    "localhost": "http://localhost:8008",
    "loopback, IPv6": "http://[::1]:8008",
    "near": "https://10.77.0.9",
    "near, IPv6": "https://[fd77::9]",
    "far": "https://198.51.100.7",
    "name": "https://matrix.example.org",
}
ASK = f"""
from heliograph.homeserver.network import has_route
print(*[name for name, url in {URLS}.items() if has_route(url)], sep=";")
"""
NEAR = "ip link add near type veth peer name other; ip link set near up; ip link set other up"


def reachable(*set_up: str) -> set[str]:
    """Those of `URLS` that have a route, in a namespace of their own after these commands."""
    script = "\n".join(("set -e", *set_up, 'exec "$0" -c "$1"'))
    asked = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script, sys.executable, ASK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    return set(asked.stdout.strip().split(";")) - {""}


def test_without_any_network_only_this_machine_is_up() -> None:
    assert reachable() == {"localhost"}
    assert reachable("ip link set lo up") == {"loopback", "loopback, IPv6", "localhost"}


@pytest.mark.parametrize(
    ("address", "near", "gateway"),
    [
        ("ip addr add 10.77.0.1/24 dev near", "near", "ip route add default via 10.77.0.2"),
        ("ip -6 addr add fd77::1/64 dev near nodad", "near, IPv6", "ip -6 route add default via fd77::2"),
    ],
)
def test_without_a_default_route_only_addresses_with_a_route_are_up(address: str, near: str, gateway: str) -> None:
    assert reachable(NEAR, address) == {near, "localhost"}
    found = reachable(NEAR, address, gateway)
    assert {near, "name"} <= found
    assert ("far" in found) is (near == "near")


def test_a_route_that_leads_nowhere_is_none() -> None:
    unreachable = ("ip link set lo up", "ip route add unreachable default", "ip -6 route add unreachable default")
    assert "name" not in reachable(*unreachable)
