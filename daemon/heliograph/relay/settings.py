"""Settings that may change while the relay runs: read again on SIGHUP (`systemctl reload heliograph-relay`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from heliograph.errors import UserError
from heliograph.relay.config import RelayConfig
from heliograph.relay.model.networks import Network
from heliograph.relay.queue.targets import parse_networks
from heliograph.system.tasks import keep_following

log = logging.getLogger(__name__)

RELOADED = ("allow_networks", "trusted_proxies", "operators", "users", "log_format", "log_level")
"""Settings that need no restart. Clients, twins and the disk hang on the others."""


class LiveSettings:
    """The settings of RELOADED but the log's, as they are at the moment: each in a container, which whoever goes by the
    setting keeps and looks into."""

    def __init__(self, config: RelayConfig) -> None:
        self.allow_networks: list[Network] = []
        self.trusted_proxies: list[Network] = []
        self.operators: list[Network] = []
        self.users: dict[str, str] = {}
        """Digests of tokens by user."""
        self.take(config)

    def take(self, config: RelayConfig) -> None:
        """The settings of `config` hold from the next request on."""
        self.allow_networks[:] = parse_networks(config.allow_networks)
        self.trusted_proxies[:] = parse_networks(config.trusted_proxies)
        self.operators[:] = parse_networks(config.operators)
        self.users.clear()
        self.users.update(config.users)


class ConfigReload:
    """`config` is what the relay was started with. `load` reads the file and the command line again, and raises
    UserError; `take` is called with the configuration that is to hold from now on."""

    def __init__(
        self, config: RelayConfig, load: Callable[[], RelayConfig], take: Callable[[RelayConfig], None]
    ) -> None:
        self._config = config
        self._load = load
        self._take = take

    async def run(self, asked: asyncio.Event) -> None:
        """Runs until it is cancelled; reads the settings each time that `asked` is set."""
        await keep_following("settings", asked, self._reload)

    async def _reload(self) -> None:
        try:
            read = await asyncio.to_thread(self._load)
        except UserError as error:
            log.warning("The settings from before go on: %s %s", error.title, error.hint)
            return
        changed = [name for name in RelayConfig.__struct_fields__ if getattr(read, name) != getattr(self._config, name)]
        # Users are those of a gateway only: both change together, or one of them would be without the other.
        waiting = [name for name in changed if name not in RELOADED or (name == "users" and "gateway_only" in changed)]
        taken = [name for name in changed if name not in waiting]
        if taken:
            self._config = replace(self._config, **{name: getattr(read, name) for name in taken})
            self._take(self._config)
        log.info(
            "The settings were read again; taken over: %s; waiting for a restart: %s",
            ", ".join(taken) or "none",
            ", ".join(waiting) or "none",
        )
