"""Whether packets to the homeserver have anywhere to go, as the kernel's routes say. Nothing is sent."""

from __future__ import annotations

import errno
import ipaddress
import socket

from yarl import URL

_ANYWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses that nobody has (RFC 5737, RFC 3849): only a default route leads there."""
_NO_WAY = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}
)
_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
_DISCARD = 9


def has_route(homeserver_url: str) -> bool:
    """False only if it is certain that the network is down: there is no route to the homeserver's address, or, where
    it has a name, no default route. Otherwise, and wherever the kernel does not tell, the network counts as up.

    A name is not looked up, which may take long; a homeserver in the local network of a machine without a default
    route must be named by its address for its trouble to be told. NetworkManager and logind are not asked: not every
    machine has them, and a link that is up proves no route.
    Test: test_without_a_default_route_only_addresses_with_a_route_are_up.
    """
    host = URL(homeserver_url).host or ""
    if host in _LOCAL_NAMES:
        return True
    return any(_leads_to(address) for address in _addresses(host))


def _addresses(host: str) -> tuple[str, ...]:
    try:
        return (str(ipaddress.ip_address(host.partition("%")[0])),)
    except ValueError:
        return _ANYWHERE


def _leads_to(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            probe.setblocking(False)
            # For UDP this only looks for a route, and never waits.
            probe.connect((address, _DISCARD))
    except OSError as error:
        return error.errno not in _NO_WAY
    return True
