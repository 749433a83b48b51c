"""Reads the expressions of alerts and dashboards, as far as those of Heliograph go, and refuses all else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_WITH_RANGE = frozenset({"increase", "rate", "deriv"})
"""Functions, each of which takes one metric with a range."""
_OPERATORS = frozenset({"and", "or", "unless", "==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/"})
_MATCHING = re.compile(r"\b(?:on|ignoring)\s*\(\s*[a-z_]+(?:\s*,\s*[a-z_]+)*\s*\)")
_TOKEN = re.compile(
    r"""\s*(?: (?P<metric>[a-zA-Z_]\w*)(?P<labels>\{[^{}]*\})?(?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])?
           | (?P<number>\d+(?:\.\d+)?) | (?P<operator>==|!=|>=|<=|[-+*/<>]) | (?P<bracket>[()]) )""",
    re.VERBOSE,
)
_LABEL = re.compile(r'\s*(?P<label>[a-zA-Z_]\w*)\s*(?P<operator>=~|!~|!=|=)\s*"(?P<value>[^"\\]*)"\s*(?:,|$)')


@dataclass(frozen=True)
class Selector:
    """A metric, and the values that each label is asked for."""

    metric: str
    labels: dict[str, list[str]] = field(default_factory=dict)


def read_selectors(expression: str) -> list[Selector]:
    """The metrics that the expression asks for. Raises ValueError for whatever is not understood."""
    selectors: list[Selector] = []
    depth, function, before = 0, "", ""
    for token in _tokens(_MATCHING.sub(" ", expression)):
        word = token[0].strip()
        if word in _WITH_RANGE or word in _OPERATORS:
            function = word if word in _WITH_RANGE else ""
        elif token["metric"]:
            if bool(token["range"]) != bool(function) or (function and before != "("):
                raise ValueError(f"{word} has a range that nothing takes, or lacks one, in {expression!r}")
            selectors.append(Selector(token["metric"], read_labels(token["labels"] or "{}")))
        elif token["bracket"]:
            depth += 1 if word == "(" else -1
            function = function if word == "(" else ""
            if depth < 0:
                raise ValueError(f"a bracket too many in {expression!r}")
        before = word
    if depth or not selectors or before in _OPERATORS:
        raise ValueError(f"{expression!r} is cut off, or asks for no metric")
    return selectors


def read_labels(text: str) -> dict[str, list[str]]:
    """The values by label in `{label="value", other=~"this|that"}`. Raises ValueError."""
    inner, labels, place = text[1:-1], {}, 0
    while inner[place:].strip():
        label = _LABEL.match(inner, place)
        if label is None:
            raise ValueError(f"{inner[place:]!r} are no labels")
        labels[label["label"]] = label["value"].split("|") if "~" in label["operator"] else [label["value"]]
        place = label.end()
    return labels


def _tokens(expression: str) -> Iterator[re.Match[str]]:
    place = 0
    while expression[place:].strip():
        token = _TOKEN.match(expression, place)
        if token is None:
            raise ValueError(f"{expression[place:]!r} is not understood")
        yield token
        place = token.end()
