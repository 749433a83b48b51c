"""The relay's configuration: TOML and flags with the same keys, documented where they are defined."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from heliograph.config_mistakes import explain_mistake
from heliograph.core.text.clean import clean_line
from heliograph.errors import EXIT_CONFIG, UserError
from heliograph.system.logs import LogForm, LogLevel

NOTIFY_PATH = "/_matrix/push/v1/notify"
_MAX_FILE = 256 * 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 where to reach who listens everywhere


class RelayConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of `heliograph relay`."""

    homeserver: Annotated[
        str, Meta(description="The homeserver, as the relay reaches it: past its reverse proxy, e.g. over loopback.")
    ] = "http://127.0.0.1:8008"
    listen: Annotated[str, Meta(description="HOST:PORT for the reverse proxy and the homeserver to connect to.")] = (
        "127.0.0.1:8077"
    )
    gateway_url: Annotated[
        str,
        Meta(
            description="How the homeserver reaches the relay, ending in /_matrix/push/v1/notify. Empty: http and the "
            "address of `listen`."
        ),
    ] = ""
    state: Annotated[
        str, Meta(description="The folder of relay.db. Empty: what systemd gives, or ~/.local/state/heliograph/relay.")
    ] = ""
    allow_http_loopback: Annotated[
        bool, Meta(description="Push gateways may be on this machine, and be reached by http.")
    ] = False
    allow_networks: Annotated[
        tuple[str, ...],
        Meta(
            description="Private networks that push gateways may be in, e.g. 10.0.0.0/8. Public addresses always may."
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."),
    ] = ("127.0.0.1/32", "::1/128")
    operators: Annotated[
        tuple[str, ...],
        Meta(
            description="Networks from which /health and /metrics may be asked at `listen`. For others they are the "
            "homeserver's, and for a trusted proxy that does not say whom it speaks for."
        ),
    ] = ("127.0.0.1/32", "::1/128")
    monitor: Annotated[
        str,
        Meta(
            description="HOST:PORT where /health and /metrics are answered to whoever reaches it, e.g. 127.0.0.1:8078 "
            "for Prometheus on this machine. Empty: nowhere."
        ),
    ] = ""
    gateway_only: Annotated[
        bool,
        Meta(
            description="Only take pushes, hold them and send them on, for users of homeservers that the relay does "
            "not stand beside. Their desktops acknowledge with a token of `users`."
        ),
    ] = False
    users: Annotated[
        dict[str, str],
        Meta(description="With gateway_only: users, and the digests of their tokens. heliograph relay token NAME"),
    ] = {}
    log_format: Annotated[LogForm, Meta(description="text, or json: an object a line.")] = "text"
    log_level: Annotated[LogLevel, Meta(description="The least important kind of line that is written.")] = "info"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`."""
        return split_address(self.listen)

    @property
    def reachable_address(self) -> tuple[str, int]:
        """Host and port by which this machine reaches the relay."""
        host, port = self.address
        return _UNSPECIFIED.get(host, host), port

    @property
    def notify_url(self) -> str:
        """The URL that twins have as their gateway."""
        if self.gateway_url:
            return self.gateway_url
        host, port = self.reachable_address
        return f"http://[{host}]:{port}{NOTIFY_PATH}" if ":" in host else f"http://{host}:{port}{NOTIFY_PATH}"


def split_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT. Raises ValueError if the port is no number."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def load_relay_config(file: Path | None, flags: Mapping[str, Any]) -> RelayConfig:
    """The settings of the file, each replaced by its flag if that is not None. Raises UserError."""
    source = "The command line" if file is None else str(file)
    tree = {} if file is None else _read(file)
    # Flags go over the file; both are checked together, so that each mistake is told in the same words.
    tree |= {name: value for name, value in flags.items() if value is not None}
    try:
        config = msgspec.convert(tree, RelayConfig, strict=True)
    except msgspec.ValidationError as error:
        problem, hint = explain_mistake(error, tree, RelayConfig)
        raise UserError(f"{source}: {problem}.", hint, exit_code=EXIT_CONFIG) from None
    _check(config, source)
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_FILE + 1)
    except FileNotFoundError:
        raise _refusal(str(file), "does not exist", "Make it, as docs/relay.md shows, or leave out --config.") from None
    except OSError as error:
        raise _refusal(
            str(file), f"cannot be read: {error.strerror}", "Make sure that the relay may read it."
        ) from None
    if len(text) > _MAX_FILE:
        raise _refusal(str(file), "is far too large for a configuration", "See: heliograph relay --help")
    try:
        return tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _refusal(str(file), f"is not valid TOML: {error}", "See docs/relay.md for an example.") from None


def _check(config: RelayConfig, source: str) -> None:
    parts = _split(config.homeserver)
    if parts is None or parts.query or parts.fragment or parts.username is not None:
        raise _wrong(source, "homeserver", "that is no URL of a homeserver", "http://127.0.0.1:8008")
    _check_address(source, "listen", config.listen, "127.0.0.1:8077")
    if config.monitor:
        _check_address(source, "monitor", config.monitor, "127.0.0.1:8078")
    parts = _split(config.notify_url)
    if parts is None or parts.path != NOTIFY_PATH or parts.query or parts.username is not None:
        raise _wrong(
            source,
            "gateway_url",
            f"that is no URL that ends in {NOTIFY_PATH} and has no query or password",
            f"http://127.0.0.1:8077{NOTIFY_PATH}",
        )
    for name in ("allow_networks", "trusted_proxies", "operators"):
        for text in getattr(config, name):
            try:
                ipaddress.ip_network(text)
            except ValueError:
                raise _wrong(source, name, f"{_shown(text)} is no network", "10.0.0.0/8", in_list=True) from None
    _check_users(config, source)


def _check_address(source: str, name: str, text: str, example: str) -> None:
    try:
        host, port = split_address(text)
        is_good = bool(host) and 0 < port < 65536
    except ValueError:
        is_good = False
    if not is_good:
        raise _wrong(source, name, f"{_shown(text)} is no HOST:PORT", example)


def _check_users(config: RelayConfig, source: str) -> None:
    for user, digest in config.users.items():
        if _DIGEST.fullmatch(digest) is None:
            title = f"{source}: [users] {clean_line(user, 100)}: that is no digest of a token."
            raise UserError(title, "Make one: heliograph relay token NAME", exit_code=EXIT_CONFIG)
    if config.users and not config.gateway_only:
        raise _refusal(source, "has `users`, but not `gateway_only`", "Beside a homeserver the relay asks it who asks.")
    if config.gateway_only and not config.users:
        raise _refusal(source, "has `gateway_only`, but no `users`", "Make one: heliograph relay token NAME")


def _wrong(source: str, name: str, problem: str, example: str, *, in_list: bool = False) -> UserError:
    """The error for a wrong value. A URL is not quoted, since it may hold a password."""
    right = f'["{example}"]' if in_list else f'"{example}"'
    return UserError(f"{source}: {name}: {problem}.", f"Write it like {name} = {right}", exit_code=EXIT_CONFIG)


def _shown(text: str) -> str:
    return f"'{clean_line(text, 100)}'"


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_whole else None


def _refusal(source: str, problem: str, hint: str) -> UserError:
    return UserError(f"{source} {problem}.", hint, exit_code=EXIT_CONFIG)
