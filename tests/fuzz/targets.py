"""Where strangers' bytes come in: for each place what may be thrown at it, and what must hold whatever that was.

A target is called with one input. It raises for a bug and nothing else: refusals that are foreseen are its normal end.
"""

from __future__ import annotations

import contextlib
import io
import json
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from edges.cli.test_rules_check_command import WHOLE_CASE
from edges.homeserver.test_wire_fuzz import ANYTHING, LIKE_SYNC, a_body
from heliograph.cli.rules.check import answer_lines
from heliograph.config.printing import render_config
from heliograph.config.reading import ConfigError, parse_config
from heliograph.config.settings import Config
from heliograph.core.text.html import read_formatted
from heliograph.core.text.markup import plain, read_markup, write_markup
from heliograph.errors import Unreachable, UserError
from heliograph.homeserver.sync_response import decode_sync
from heliograph.relay.config import load_relay_config
from heliograph.relay.wire import push
from support.builders import ALICE, ME, ROOM
from support.spoiling import spoiled

LIMIT = 500
"""Characters of a message that are shown."""
_ANSWER = frozenset({"notify", "rule", "actions", "highlight", "sound"})
_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


@dataclass(frozen=True, slots=True)
class Target:
    """`attack` takes what `inputs` makes."""

    inputs: st.SearchStrategy[Any]
    attack: Callable[[Any], None]


# The homeserver's answers to /sync


def _sync(body: bytes) -> None:
    with contextlib.suppress(Unreachable):
        decode_sync(body, user_id=ME, device_id="D")


_SYNCS = st.one_of(
    st.binary(max_size=300),
    spoiled(a_body()).map(_dumped := lambda value: json.dumps(value).encode()),
    (ANYTHING | LIKE_SYNC).map(_dumped),
    st.tuples(spoiled(a_body()).map(_dumped), st.integers(0, 3000)).map(lambda cut: cut[0][: cut[1]]),
)


# Push rules and events


def _rules(case: Any) -> None:
    answers = io.BytesIO()
    answer_lines(io.BytesIO(json.dumps(case).encode() + b"\n"), answers)
    (answer,) = map(json.loads, answers.getvalue().splitlines())
    assert answer.keys() in ({"error"}, _ANSWER)


# What a homeserver pushes to the relay


def _a_push() -> dict[str, Any]:
    device = {"app_id": "a", "pushkey": "k", "pushkey_ts": 1, "data": {"format": "event_id_only"}, "tweaks": {}}
    told = {"event_id": "$1", "room_id": ROOM, "sender": ALICE, "counts": {"unread": 1}, "content": {"body": "x"}}
    return {"notification": {**told, "devices": [device, device]}}


def _push(body: bytes) -> None:
    with contextlib.suppress(push.MalformedPush):
        arrived = push.read_push(body)
        for device in arrived.devices:
            json.loads(push.pack(arrived.notification, device))


# The user's files


_LINES = [line for line in render_config(Config()).splitlines() if line and not line.startswith("#")]
_VALUES = st.one_of(
    st.sampled_from(
        ["-1", "1e400", "nan", "9" * 30, '""', '"always"', "true", "[]", "{}", '["x"]', "2026-01-01", "''"]
    ),
    _TEXT.map(json.dumps),
)


@st.composite
def _tomls(draw: st.DrawFn) -> str:
    """Our own configuration with values, lines and characters changed."""
    lines = draw(st.lists(st.sampled_from(_LINES), max_size=12))
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(_LINES)).partition("=")[0]
        lines.insert(draw(st.integers(0, len(lines))), f"{name}= {draw(_VALUES)}")
    text = "\n".join(lines)
    if draw(st.booleans()):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(_TEXT) + text[place:]
    return text


def _config(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_config(text)


def _relay_config(text: str) -> None:
    try:
        flags: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    with contextlib.suppress(UserError):
        load_relay_config(None, flags)


_RELAY_KEYS = ("homeserver", "listen", "gateway_url", "state", "allow_http_loopback", "trusted_proxies", "log_level")
_RELAY_TOMLS = st.lists(
    st.tuples(st.sampled_from(_RELAY_KEYS), _VALUES), max_size=5, unique_by=lambda pair: pair[0]
).map(lambda pairs: "\n".join(f"{name} = {value}" for name, value in pairs))


# What messages say


_TAGS = st.sampled_from(
    [
        *(
            "<b>",
            "</b>",
            "<i",
            "<a href='javascript:x'>",
            "<img src=x onerror=y>",
            "<script>",
            "</script>",
            "<mx-reply>",
        ),
        *(
            "</mx-reply>",
            "<span data-mx-spoiler='why'>",
            "</span>",
            "<!--",
            "-->",
            "<pre><code>",
            "<li>",
            "&#0;",
            "&amp",
        ),
        *("&#x1F600;", "&lt;b&gt;", "<![CDATA[", "<ol start=-9>", "<br/>", "<p>" * 80, "<b/><b>", "\u202e", "\x1b[31m"),
    ]
)
_DIRECTIONS = set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068")
_HTML = st.lists(_TAGS | _TEXT, max_size=40).map("".join)


def _formatted(source: str) -> None:
    styled = read_formatted(source, LIMIT).styled
    said = plain(styled)
    assert len(said) <= LIMIT + 1
    assert not any(unicodedata.category(each) in ("Cc", "Cs") and each != "\n" for each in said)
    assert not set(said) & _DIRECTIONS
    markup = write_markup(styled)
    assert read_markup(markup) == styled
    for tag in ("<script", "<img", "<a ", "<!--"):
        assert tag not in markup


TARGETS = {
    "sync": Target(_SYNCS, _sync),
    "rules": Target(spoiled(WHOLE_CASE), _rules),
    "push": Target(st.one_of(st.binary(max_size=300), spoiled(_a_push()).map(_dumped), ANYTHING.map(_dumped)), _push),
    "config": Target(_tomls(), _config),
    "relay-config": Target(_RELAY_TOMLS, _relay_config),
    "formatted": Target(_HTML, _formatted),
}
