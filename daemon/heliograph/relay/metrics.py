"""Prometheus's text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from heliograph.core.value_type import value_type

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "heliograph_relay_"


@value_type
class Metric:
    """One metric: `values` by the value of `label`, or by the empty text if there is no label. Counters' names end in
    `_total`."""

    name: str
    about: str
    values: Mapping[str, float]
    label: str = ""

    @property
    def kind(self) -> Literal["counter", "gauge"]:
        return "counter" if self.name.endswith("_total") else "gauge"


def render(metrics: Iterable[Metric]) -> str:
    """The answer to a scrape."""
    lines: list[str] = []
    for metric in metrics:
        name = PREFIX + metric.name
        lines += [f"# HELP {name} {metric.about}", f"# TYPE {name} {metric.kind}"]
        for value_of, value in sorted(metric.values.items()):
            labels = f'{{{metric.label}="{_escape(value_of)}"}}' if metric.label else ""
            lines.append(f"{name}{labels} {value:g}" if value != int(value) else f"{name}{labels} {int(value)}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
