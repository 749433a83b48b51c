"""/health and /metrics: what those who run the relay look at."""

from __future__ import annotations

import json
import re
from pathlib import Path

import aiohttp
import pytest

from documentation.pages import read_page
from edges.relay.conftest import Scene
from edges.relay.running import RunningRelay
from fakes.scripted_homeserver import ScriptedHomeserver
from heliograph.relay.metrics import Metric, render
from heliograph.relay.queue.dispatch import Dispatch
from support.waiting import until


async def ask(url: str, path: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.request("GET", url + path, headers=headers) as response:
        return response.status, await response.text()


async def test_metrics_count_what_went_which_way(scene: Scene) -> None:
    event_id = await scene.send()
    await scene.desktop.sync_until(event_id)

    async def has_settled_one() -> bool:
        # The homeserver's push may come after the sync that acknowledges it.
        _, text = await ask(scene.relay.monitor, "/metrics")
        return 'heliograph_relay_pushes_settled_total{outcome="acknowledged"} 1' in text.splitlines()

    await until(has_settled_one, "the end of the push")
    status, text = await ask(scene.relay.monitor, "/metrics")
    assert status == 200
    lines = text.splitlines()
    assert 'heliograph_relay_pushers{kind="direct"} 1' in lines
    assert 'heliograph_relay_notifications_total{step="acknowledged"} 1' in lines
    assert 'heliograph_relay_pushes_waiting{for="gateway"} 0' in lines
    assert "# TYPE heliograph_relay_pushes_settled_total counter" in lines
    assert scene.desktop.user.user_id not in text


async def test_every_metric_is_documented(scene: Scene) -> None:
    _, text = await ask(scene.relay.monitor, "/metrics")
    documented = [row[0].strip("`") for row in read_page("docs/relay.md").rows("Watching it")]
    assert documented == re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)


def test_what_a_label_says_cannot_end_it() -> None:
    text = render([Metric("gateway_requests_total", "About.", {'a"b\\c\nd': 1}, "result")])
    assert text.splitlines()[-1] == r'heliograph_relay_gateway_requests_total{result="a\"b\\c\nd"} 1'


async def test_health_tells_of_the_homeserver_without_failing_for_it(tmp_path: Path) -> None:
    async with ScriptedHomeserver() as homeserver:
        relay = RunningRelay(homeserver.url, tmp_path / "relay")
        async with relay:
            status, text = await ask(relay.monitor, "/health")
            assert (status, '"homeserver": "ok"' in text) == (200, True)
            await homeserver.__aexit__()
            status, text = await ask(relay.monitor, "/health")
            assert (status, '"homeserver": "does not answer"' in text) == (200, True)


@pytest.mark.expected_log("pushes crashed, and starts again")
async def test_health_tells_of_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [RuntimeError("a fault of our own")]
    start_due = Dispatch._start_due

    def start_or_fail(dispatch: Dispatch) -> None:
        if faults:
            raise faults.pop()
        start_due(dispatch)

    monkeypatch.setattr(Dispatch, "_start_due", start_or_fail)
    async with ScriptedHomeserver() as homeserver, RunningRelay(homeserver.url, tmp_path / "relay") as relay:
        status, text = await ask(relay.monitor, "/health")
    assert (status, json.loads(text)["crashes"]) == (200, {"pushes": 1, "pruning": 0})


STRANGERS = ("203.0.113.9", "203.0.113.9:41234", "[2001:db8::1]:443", "2001:db8::1", "unknown", "", "127.0.0.1")


@pytest.mark.parametrize("way", [None, *STRANGERS])
async def test_to_others_the_paths_are_the_homeservers(tmp_path: Path, way: str | None) -> None:
    headers = {} if way is None else {"X-Forwarded-For": way}
    async with ScriptedHomeserver() as homeserver, RunningRelay(homeserver.url, tmp_path / "relay") as relay:
        for path in ("/health", "/metrics"):
            assert (await ask(relay.url, path, **headers))[0] in (401, 404)
        assert [request.path for request in homeserver.requests] == ["/health", "/metrics"]


@pytest.mark.parametrize(
    "way", ["203.0.113.9", "203.0.113.9:41234", "198.51.100.1, 203.0.113.9", "127.0.0.1, 203.0.113.9:1"]
)
async def test_an_operator_is_known_behind_a_proxy(tmp_path: Path, way: str) -> None:
    settings = {"operators": ("203.0.113.9/32",)}
    async with (
        ScriptedHomeserver() as homeserver,
        RunningRelay(homeserver.url, tmp_path / "relay", **settings) as relay,
    ):
        assert (await ask(relay.url, "/health", **{"X-Forwarded-For": way}))[0] == 200
        assert (await ask(relay.url, "/health", **{"X-Forwarded-For": f"{way}, 192.0.2.1"}))[0] == 404


async def test_an_operator_who_is_no_proxy_needs_to_be_named_by_nobody(tmp_path: Path) -> None:
    async with (
        ScriptedHomeserver() as homeserver,
        RunningRelay(homeserver.url, tmp_path / "relay", trusted_proxies=("10.0.0.1/32",)) as relay,
    ):
        assert (await ask(relay.url, "/health"))[0] == 200
        # The header is a stranger's: it does not come from a proxy that is trusted.
        assert (await ask(relay.url, "/health", **{"X-Forwarded-For": "203.0.113.9"}))[0] == 200


async def test_whoever_reaches_the_address_for_monitoring_is_answered(tmp_path: Path) -> None:
    async with ScriptedHomeserver() as homeserver, RunningRelay(homeserver.url, tmp_path / "relay") as relay:
        assert [(await ask(relay.monitor, path))[0] for path in ("/health", "/metrics", "/other")] == [200, 200, 404]
