"""Where a request came from: its sender's address, or the one that a trusted reverse proxy names."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import field

from aiohttp import web

from heliograph.core.value_type import value_type
from heliograph.relay.model.networks import Address, Network

_OF_PROXIES = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via")


@value_type
class Proxies:
    """The reverse proxies whose X-Forwarded-For is believed."""

    networks: Sequence[Network] = field(default=())

    def are_trusted(self, address: str | None) -> bool:
        parsed = read_address(address or "")
        return parsed is not None and any(parsed in network for network in self.networks)

    def client_of(self, request: web.BaseRequest) -> str | None:
        """The client's address: the last one of the request's way that is no trusted proxy's.

        None: nobody knows, since a trusted proxy names no address, or only addresses of trusted proxies. It may speak
        for anybody. Test: test_whom_a_proxy_does_not_name_is_nobody.
        """
        hops = [hop for line in request.headers.getall("X-Forwarded-For", []) for hop in line.split(",")]
        address = read_address(request.remote or "")
        # From the last hop back: all before the first one that is not trusted may be made up.
        while address is not None and any(address in network for network in self.networks):
            address = read_address(hops.pop()) if hops else None
        return None if address is None else str(address)

    def have_sent(self, request: web.BaseRequest) -> bool:
        """Whether the request comes straight from one of these addresses: nothing in it tells of a proxy."""
        return self.are_trusted(request.remote) and not any(name in request.headers for name in _OF_PROXIES)


def read_address(text: str) -> Address | None:
    """An address as proxies write it: alone, with a port, an IPv6 address in brackets or not, in quotes.

    None: `unknown`, a name, or nonsense (RFC 7239, section 6, which X-Forwarded-For follows where it is not older). An
    IPv4 address in IPv6 notation is returned as the former.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text, _, rest = text[1:].partition("]")
        if rest and not rest.startswith(":"):
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
