"""The relay's settings are read again while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from edges.relay.running import RunningRelay
from fakes.scripted_homeserver import ScriptedHomeserver
from heliograph.relay.config import RelayConfig, load_relay_config
from heliograph.relay.gateway.tokens import digest_of
from heliograph.relay.settings import ConfigReload
from heliograph.system.tasks import cancel, start
from support.waiting import until


class Reloading:
    """A relay that goes by a file, and what it took over since its start."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.taken: list[RelayConfig] = []
        self._asked = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self, text: str = "", **flags: object) -> AsyncIterator[None]:
        load = partial(load_relay_config, self._file, flags)
        await asyncio.to_thread(self._file.write_text, text)
        config = await asyncio.to_thread(load)
        task = start(ConfigReload(config, load, self.taken.append).run(self._asked), name="reload")
        try:
            yield
        finally:
            await cancel(task)

    async def read(self, text: str | None, caplog: pytest.LogCaptureFixture) -> str:
        """The line that is logged once the text was read; None: there is no file."""
        if text is None:
            await asyncio.to_thread(self._file.unlink)
        else:
            await asyncio.to_thread(self._file.write_text, text)
        caplog.clear()
        self._asked.set()
        await until(lambda: caplog.messages, "the line")
        (line,) = caplog.messages
        return line


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO")
    return caplog


async def test_what_needs_no_restart_is_taken_over_and_what_does_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reloading = Reloading(tmp_path / "relay.toml")
    async with reloading.running():
        line = await reloading.read('allow_networks = ["10.0.0.0/8"]\nlisten = "127.0.0.1:9000"', caplog)
        assert line == "The settings were read again; taken over: allow_networks; waiting for a restart: listen"
        line = await reloading.read('log_level = "warning"', caplog)
        assert line == (
            "The settings were read again; taken over: allow_networks, log_level; waiting for a restart: none"
        )
    # Where the relay listens stays as it was, since that waits.
    assert reloading.taken == [RelayConfig(allow_networks=("10.0.0.0/8",)), RelayConfig(log_level="warning")]


async def test_the_command_line_wins_over_the_file_as_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reloading = Reloading(tmp_path / "relay.toml")
    async with reloading.running(listen="127.0.0.1:9000"):
        line = await reloading.read('listen = "127.0.0.1:9001"', caplog)
    assert line == "The settings were read again; taken over: none; waiting for a restart: none"
    assert reloading.taken == []


@pytest.mark.expected_log("The settings from before go on: .*relay.toml: operators: 'nowhere' is no network")
@pytest.mark.expected_log("The settings from before go on: .*relay.toml does not exist")
async def test_a_bad_file_changes_nothing_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reloading = Reloading(tmp_path / "relay.toml")
    async with reloading.running():
        line = await reloading.read('operators = ["nowhere"]\nlog_level = "debug"', caplog)
        assert line.startswith("The settings from before go on: ")
        assert line.endswith('Write it like operators = ["10.0.0.0/8"]')
        assert "does not exist" in await reloading.read(None, caplog)
    assert reloading.taken == []


async def test_users_wait_for_the_restart_that_makes_it_a_gateway_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users = f'[users]\nme = "{digest_of("token")}"'
    reloading = Reloading(tmp_path / "relay.toml")
    async with reloading.running(f"gateway_only = true\n{users}"):
        line = await reloading.read("", caplog)
    assert line == "The settings were read again; taken over: none; waiting for a restart: gateway_only, users"


async def test_a_running_relay_goes_by_its_new_settings(tmp_path: Path) -> None:
    async def status(**headers: str) -> int:
        async with aiohttp.request("GET", f"{relay.url}/metrics", headers=headers) as answer:
            return answer.status

    async with (
        ScriptedHomeserver() as homeserver,
        RunningRelay(homeserver.url, tmp_path / "relay", operators=("203.0.113.0/24",)) as relay,
    ):
        settings = relay.relay.settings
        far = {"X-Forwarded-For": "203.0.113.9"}
        assert (await status(**far), await status()) == (200, 404)
        settings.take(RelayConfig(trusted_proxies=("192.0.2.1/32",)))
        # Nobody is believed any more to speak for another address.
        assert (await status(**far), await status()) == (200, 200)
        settings.take(RelayConfig(operators=("203.0.113.0/24",), trusted_proxies=("192.0.2.1/32",)))
        assert await status(**far) == 404


async def test_a_user_is_added_and_removed_while_the_relay_runs(tmp_path: Path) -> None:
    async def status(token: str) -> int:
        body = {"device_id": "DESK", "event_ids": [], "present_ms": 0}
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.request(
            "POST", f"{relay.url}/_heliograph/v1/acknowledge", json=body, headers=headers
        ) as answer:
            return answer.status

    users = {"me": digest_of("mine")}
    async with RunningRelay("http://127.0.0.1:9", tmp_path / "relay", gateway_only=True, users=users) as relay:
        assert (await status("mine"), await status("anns")) == (200, 401)
        relay.relay.settings.take(RelayConfig(gateway_only=True, users={"ann": digest_of("anns")}))
        assert (await status("mine"), await status("anns")) == (401, 200)
