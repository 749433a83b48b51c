"""Tells by the kernel's routes whether packets to the homeserver could leave this machine. Nothing is sent."""

from __future__ import annotations

import errno
import ipaddress
import socket

from yarl import URL

_ANYWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses that nobody has (RFC 5737, RFC 3849), so that only a default route leads there."""
_NO_WAY = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}
)
_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
_DISCARD = 9


def has_route(homeserver_url: str) -> bool:
    """False only if the network is certainly down: there is no route to the homeserver's address, or, if the URL has a
    name, no default route. In all other cases, also if the kernel does not tell, the network counts as up.

    The name is not looked up, since that may take long. So on a machine without a default route, trouble with a
    homeserver in the local network is told only if its URL has an address. NetworkManager and logind are not asked:
    not every machine has them, and a link that is up proves no route.
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
            # For UDP, connect(2) only looks for a route: it sends nothing and never waits.
            probe.connect((address, _DISCARD))
    except OSError as error:
        return error.errno not in _NO_WAY
    return True
