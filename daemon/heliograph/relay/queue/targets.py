"""Where pushes may be sent: https to public addresses, and nowhere else unless the configuration says so.

Anyone with an account names the gateway, so this is what keeps the relay from being a way into the network that it
stands in. An address is checked after resolving, in the connector's resolver and without a cache, so that the
connection goes to exactly the address that was checked.
Test: test_a_name_is_asked_once_so_that_a_second_answer_cannot_lead_inside.
For IPv6 the list is of what is allowed, for IPv4 of what is not. Test: test_what_is_not_public_is_not_permitted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Sequence

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from heliograph.core.value_type import value_type
from heliograph.relay.model.networks import Address, Network

NOTIFY_PATH = "/_matrix/push/v1/notify"
LONGEST_URL = 2048
LOOKED_UP_S = 5.0
"""How long a client waits until it is known where the name of its gateway leads."""


_UNICAST_6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: tuple[Network, ...] = (
    *(ipaddress.IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")),
    *(ipaddress.IPv4Network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4", "0.0.0.0/8")),
)
"""Protocol assignments, Teredo and 6to4 among them, documentation, reserved: whatever Python knows of them."""


class Forbidden(OSError):
    """The gateway may not be asked. An OSError, so that connectors pass it on as a failed connection."""


@value_type
class TargetPolicy:
    """The gateways that the configuration allows besides https to public addresses."""

    allowed: Sequence[Network] = ()
    """Private networks that gateways may be in."""
    has_http_loopback: bool = False
    """http and https to this machine, for a gateway beside the relay and for tests."""

    def permits(self, address: Address) -> bool:
        """Whether a gateway may be at this address."""
        address = _embedded(address)
        if any(address in network for network in self.allowed if network.version == address.version):
            return True
        return (self.has_http_loopback and address.is_loopback) or _is_public(address)

    def refusal(self, url: str) -> str | None:
        """Why a pusher with this gateway cannot be taken, as a sentence; None: it can, as far as its text tells."""
        try:
            self.check(url)
        except Forbidden as error:
            return str(error)
        return None

    def check(self, url: str) -> URL:
        """The parsed address of a gateway. Raises Forbidden for what its text alone rules out."""
        parsed = _parse(url)
        if parsed.user is not None or parsed.password is not None:
            raise Forbidden("A push gateway's URL holds no user name or password")
        if parsed.path != NOTIFY_PATH:
            raise Forbidden(f"A push gateway's URL has the path {NOTIFY_PATH}")
        host = parsed.raw_host or ""
        literal = _literal(host)
        if parsed.scheme not in ("https", "http"):
            raise Forbidden("A push gateway must be reached by https")
        if literal is not None and not self.permits(literal):
            raise Forbidden(
                "A push gateway must have a public address, or one in a network that the relay's allow_networks names"
            )
        # A name is resolved before anything is sent, and an address that is reached by http must be a permitted one.
        is_here = self.has_http_loopback and host.rstrip(".") == "localhost"
        is_http_possible = self.permits_http(literal) if literal is not None else is_here or len(self.allowed) > 0
        if parsed.scheme == "http" and not is_http_possible:
            raise Forbidden(
                "A push gateway must be reached by https, or be in a network that the relay's allow_networks names"
            )
        return parsed

    def permits_http(self, address: Address) -> bool:
        """Whether a gateway at this address may be reached by plain http: on this machine, or in a named network."""
        address = _embedded(address)
        is_named = any(address in network for network in self.allowed if network.version == address.version)
        return is_named or (self.has_http_loopback and address.is_loopback)

    async def refusal_of(self, url: str, resolver: AbstractResolver | None = None) -> str | None:
        """As `refusal`, and looks where a name leads. One that cannot be looked up now is not refused for that."""
        if (why := self.refusal(url)) is not None:
            return why
        parsed = _parse(url)
        looking = CheckedResolver(self, resolver, by_http=parsed.scheme == "http")
        try:
            async with asyncio.timeout(LOOKED_UP_S):
                await looking.resolve(parsed.raw_host or "", parsed.port or 0, socket.AF_UNSPEC)
        except Forbidden:
            return (
                "The name of this push gateway leads to an address that the relay may not send to"
                + (" by plain http" if parsed.scheme == "http" else "")
                + ": its allow_networks does not name it"
            )
        except (OSError, TimeoutError):
            return None
        return None


class CheckedResolver(AbstractResolver):
    """Resolves names to permitted addresses only. Its answers are what connectors connect to."""

    def __init__(
        self, policy: TargetPolicy, resolver: AbstractResolver | None = None, *, by_http: bool = False
    ) -> None:
        self._policy = policy
        self._resolver = resolver or ThreadedResolver()
        self._by_http = by_http

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError if there is no address, Forbidden if there is none that may be asked."""
        found = await self._resolver.resolve(host, port, family)
        permitted = [result for result in found if self._permits(result["host"])]
        if found and not permitted:
            raise Forbidden("its name leads to no public address")
        return permitted

    async def close(self) -> None:
        await self._resolver.close()

    def _permits(self, text: str) -> bool:
        address = _literal(text)
        if address is None:
            return False
        return self._policy.permits_http(address) if self._by_http else self._policy.permits(address)


def host_of(url: str) -> str:
    """Host and port of a gateway, for logs and for sharing it fairly: what else is in a URL may be a secret."""
    try:
        parsed = URL(url)
        return f"{parsed.host}:{parsed.port}"
    except ValueError:
        return ""


def parse_networks(texts: Collection[str]) -> tuple[Network, ...]:
    """Networks as the configuration names them: `10.0.0.0/8`, `fd00::/8`, or one address. Raises ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def _parse(url: str) -> URL:
    if len(url) > LONGEST_URL:
        raise Forbidden("A push gateway's URL is shorter than that")
    try:
        parsed = URL(url)
        is_whole = parsed.host is not None and parsed.port is not None
    except ValueError:
        is_whole = False
    if not is_whole:
        raise Forbidden("A push gateway's URL is one with a host")
    return parsed


def _literal(host: str) -> Address | None:
    """The address that `host` is; None for a name. Raises Forbidden for other spellings of one (127.1, 0x7f.1)."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2].lower()
        if last.isdigit() or (last.startswith("0x") and all(digit in "0123456789abcdef" for digit in last[2:])):
            raise Forbidden("A push gateway's address is spelt in an unusual way") from None
        return None


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST_6:
        return False
    # Shared address space (100.64/10) is neither private nor global.
    return address.is_global and not address.is_multicast
