"""The alerts for Prometheus and the dashboard for Grafana ask for what the relay tells, and nothing else."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec.yaml
import pytest

from documentation.pages import ROOT, read_page
from edges.relay.running import RunningRelay
from fakes.scripted_homeserver import ScriptedHomeserver
from support.promql import Selector, read_selectors

ALERTS = ROOT / "docs/monitoring/prometheus-alerts.yml"
DASHBOARD = ROOT / "docs/monitoring/grafana-dashboard.json"
SAMPLE = re.compile(r'^(?P<metric>\w+)(?:\{(?P<label>\w+)="(?P<value>[^"]*)"\})? (?P<number>\S+)$')
OF_PROMETHEUS = {"job", "instance"}
"""Labels that a scrape adds."""
DURATION = re.compile(r"^\d+[smhd]$")


def rules() -> list[dict[str, Any]]:
    told = msgspec.yaml.decode(ALERTS.read_text("utf-8"))
    assert told.keys() == {"groups"}
    (group,) = told["groups"]
    assert group.keys() == {"name", "rules"}
    return list(group["rules"])


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text("utf-8")))


def asked() -> Iterator[tuple[str, Selector]]:
    """What is asked for, and by what."""
    for rule in rules():
        yield from ((rule["alert"], selector) for selector in read_selectors(rule["expr"]))
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield from ((panel["title"], selector) for selector in read_selectors(target["expr"]))


@pytest.fixture
async def samples(tmp_path: Path) -> dict[str, dict[str, set[str]]]:
    """The values of the label of each metric of a relay that has just started, by metric and label."""
    told: dict[str, dict[str, set[str]]] = {"up": {}}
    async with (
        ScriptedHomeserver() as homeserver,
        RunningRelay(homeserver.url, tmp_path / "relay") as relay,
        aiohttp.request("GET", f"{relay.monitor}/metrics") as answer,
    ):
        text = await answer.text()
    for line in text.splitlines():
        if not line.startswith("#"):
            sample = SAMPLE.match(line)
            assert sample is not None, line
            labels = told.setdefault(sample["metric"], {})
            if sample["label"]:
                labels.setdefault(sample["label"], set()).add(sample["value"])
    return told


def test_every_metric_label_and_value_that_is_asked_for_exists(samples: dict[str, dict[str, set[str]]]) -> None:
    number = 0
    for where, selector in asked():
        number += 1
        assert selector.metric in samples, where
        for label, values in selector.labels.items():
            if label not in OF_PROMETHEUS:
                assert set(values) <= samples[selector.metric].get(label, set()), where
    assert number > 20


def test_what_never_happened_is_counted_as_zero(samples: dict[str, dict[str, set[str]]]) -> None:
    assert samples["heliograph_relay_pushes_settled_total"]["outcome"] > {"sent", "expired", "overflow"}
    assert samples["heliograph_relay_gateway_requests_total"]["result"] > {"taken", "failed", "unknown"}
    assert samples["heliograph_relay_notifications_total"]["step"] == {"carried", "acknowledged", "woken"}


def test_every_metric_of_the_relay_is_on_the_dashboard(samples: dict[str, dict[str, set[str]]]) -> None:
    shown = {
        selector.metric
        for panel in dashboard()["panels"]
        for each in panel["targets"]
        for selector in read_selectors(each["expr"])
    }
    assert samples.keys() <= shown


def test_each_alert_says_how_bad_it_is_and_what_to_look_at() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 5
    for rule in rules():
        assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}, rule
        assert DURATION.match(rule.get("for", "0s")), rule
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description"}
        # A variable must be one that the expression leaves.
        variables = re.findall(r"\{\{ ?\$(\S+?) ?\}\}", " ".join(rule["annotations"].values()))
        left = {label for selector in read_selectors(rule["expr"]) for label in selector.labels} | {"task"}
        assert {each.removeprefix("labels.") for each in variables} <= left | {"value"}, rule


def test_every_alert_is_explained_on_the_page_for_operators() -> None:
    named = {row[0].strip("`") for row in read_page("docs/relay-operation.md").rows("Alerts")}
    assert named == {rule["alert"] for rule in rules()}


def test_the_dashboard_is_whole() -> None:
    told = dashboard()
    panels = told["panels"]
    assert Counter(panel["id"] for panel in panels).most_common(1)[0][1] == 1
    taken = Counter(
        (column, row)
        for panel in panels
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    )
    assert max(taken.values()) == 1
    assert max(column for column, _ in taken) == 23
    variables = {each["name"] for each in told["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(told))) - {"__rate_interval"}
    assert used == variables
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "up ==",
        "(up == 0",
        "up == 0)",
        "rate(up)",
        "up[5m]",
        "rates(up[5m])",
        "up{job=heliograph}",
        'up{job="a" instance="b"}',
        "up % 2",
    ],
)
def test_an_expression_that_prometheus_would_refuse_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"understood|range|bracket|cut off|labels"):
        read_selectors(wrong)


def test_an_expression_is_read_to_its_last_label() -> None:
    assert read_selectors('increase(a{b="c", d=~"e|f"}[5m]) > 0 and on (job, b) g') == [
        Selector("a", {"b": ["c"], "d": ["e", "f"]}),
        Selector("g"),
    ]
