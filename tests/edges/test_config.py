from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from conftest import Home
from heliograph.config.printing import render_config
from heliograph.config.reading import ConfigError, load_config, parse_config
from heliograph.config.settings import Config
from heliograph.core.popups.privacy import Level
from heliograph.core.pushers.fallback import Fallback
from heliograph.errors import EXIT_CONFIG, UserError

CHANGED = """\
[desktop]
badge = "element-desktop.desktop"
backend = "terminal"
open_with = "matrix.to"
tray = true
tray_icon = "light"
[notifications]
max_rooms = 1
avatars = false
sound = "own"
[actions]
receipts = "public"
[privacy]
show = "sender"
locked = "hidden"
full = ["!lunch:example.org"]
sender = ["!work:example.org"]
hidden = ["@doctor:example.org"]
[quiet]
hours = ["22:00-07:00"]
highlights = false
rooms = ["!family:example.org"]
everywhere = true
[hooks]
on_notification = ["ring", "-v"]
timeout_seconds = 3
[sync]
poll_seconds = 120
[fallback]
gateway = "https://ntfy.example.org/_matrix/push/v1/notify"
pushkey = "https://ntfy.example.org/up?up=1"
app_id = "org.example.mine"
event_id_only = false
relay = "https://push.example.org"
[handoff]
mode = "switch"
away_after = 0
while_away = "wait"
quiet = ["Element Android", "a \\"b\\""]
[history]
days = 30
[encryption]
send_to = "signed"
unverified_senders = "hide"
[log]
level = "debug"
bodies = true
"""


def test_nothing_has_to_be_configured() -> None:
    assert load_config() == parse_config("") == Config()


def test_what_is_printed_reads_back_as_the_same() -> None:
    for config in (Config(), parse_config(CHANGED)):
        assert parse_config(render_config(config)) == config


def test_every_field_can_be_changed() -> None:
    changed, default = msgspec.to_builtins(parse_config(CHANGED)), msgspec.to_builtins(Config())
    for section, values in default.items():
        for name, value in values.items():
            assert changed[section][name] != value


def test_every_field_is_explained_above_it() -> None:
    lines = render_config(Config()).splitlines()
    for number, line in enumerate(lines):
        if line and not line.startswith("#"):
            assert lines[number - 1].startswith("# ")
    assert '# "auto" | "freedesktop" | "plyer" | "terminal"' in lines
    assert "# a whole number, 10 to 120" in lines


def test_every_field_has_a_description() -> None:
    for section in msgspec.structs.fields(Config):
        for field in msgspec.structs.fields(section.type):
            metas = [extra for extra in get_args(field.type) if isinstance(extra, msgspec.Meta)]
            assert [bool(meta.description) for meta in metas] == [True]


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        (
            "[desktop]\nbackand = 1",
            "[desktop] backand: there is no such key",
            "Did you mean backend? It takes: backend",
        ),
        ("[dekstop]", "[dekstop]: there is no such section", "Did you mean [desktop]? It takes: desktop,"),
        ("zzz = 1", "zzz: there is no such key", "It takes: desktop, notifications, actions, privacy, quiet, hooks"),
        ('show = "full"', "show: there is no such key", "show belongs below [privacy]. It takes: desktop"),
        ('[log]\nshow = "full"', "[log] show: there is no such key", "show belongs below [privacy]. It takes: level"),
        (
            '[privacy]\nshow = "sendr"',
            "[privacy] show: 'sendr' is none of full, sender, hidden",
            "Did you mean 'sender'?",
        ),
        (
            "[privacy]\nshow = 1",
            "[privacy] show: 1 is none of full, sender, hidden",
            'Write one of these, in quotes: "full"',
        ),
        (
            "[sync]\npoll_seconds = 9",
            "[sync] poll_seconds: 9 is not within 10 to 120",
            "Write a whole number, 10 to 120.",
        ),
        ("[sync]\npoll_seconds = 121", "[sync] poll_seconds: 121 is not within 10 to 120", "whole number"),
        ('[sync]\npoll_seconds = "50"', "[sync] poll_seconds: '50' is no whole number", "10 to 120: poll_seconds = 50"),
        ("[sync]\npoll_seconds = nan", "[sync] poll_seconds: nan is no whole number", "without quotes"),
        ("[log]\nbodies = 1", "[log] bodies: 1 is neither true nor false", "Write bodies = true, or bodies = false."),
        ("[fallback]\npushkey = 1", "[fallback] pushkey: 1 is no text", 'Write it in quotes: pushkey = "1"'),
        (
            f'[desktop]\nopen_with = "{"x" * 256}"',
            "[desktop] open_with: it has more than 255 characters",
            "Shorten it.",
        ),
        ("[handoff]\nquiet = [1]", "[handoff] quiet: 1 in it is no text", 'Write each in quotes: quiet = ["1"]'),
        ("[handoff]\nquiet = [{}]", "[handoff] quiet: a table in it is no text", 'quiet = ["..."]'),
        ('[quiet]\nhours = "22:00-07:00"', "[quiet] hours: '22:00-07:00' is no list", 'Write hours = ["22:00-07:00"]'),
        ("[quiet]\nhours = 07:00:00", "[quiet] hours: 07:00:00 is no list", 'Write hours = ["07:00:00"]'),
        (f"[quiet]\nhours = {['x'] * 51}", "[quiet] hours: it has more than 50 entries", "Remove some."),
        ("desktop = 3", "[desktop]: 3 is no table", "Write [desktop] on a line"),
        ("[[privacy]]", "[privacy]: a list is no table", "Write [privacy] on a line"),
        ('[privacy]\nshow = "\\u001b[2J"', "[privacy] show: '[2J' is none of", "Write one of these"),
        ("[desktop", "not valid TOML", "heliograph config"),
        ("[log]\n[log]", "not valid TOML", "heliograph config"),
        ("x = " + "[" * 5000, "not valid TOML", "heliograph config"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_would_be_right(text: str, problem: str, hint: str) -> None:
    with pytest.raises(ConfigError) as mistake:
        parse_config(text)
    assert problem in str(mistake.value)
    assert hint in mistake.value.hint


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\xff", "not UTF-8"), (b"# " + b"x" * 300_000, "far too large"), (b"x=1", "x: there is no such key")],
)
def test_a_file_that_is_no_configuration_is_a_user_error(home: Home, content: bytes, problem: str) -> None:
    file = home.config / "heliograph" / "config.toml"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(UserError, match=problem) as refusal:
        load_config()
    assert str(file) in refusal.value.title
    assert refusal.value.exit_code == EXIT_CONFIG


def test_a_folder_in_its_place_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_config(tmp_path)


def test_privacy_is_read_as_levels() -> None:
    lists = 'full = ["!lunch:example.org"]\nhidden = ["!secret:example.org"]'
    text = f'[privacy]\nshow = "sender"\nlocked = "hidden"\n{lists}'
    privacy = parse_config(text).privacy.privacy
    assert (privacy.show, privacy.locked) == (Level.SENDER, Level.HIDDEN)
    assert privacy.level({"!lunch:example.org"}) is Level.FULL
    assert privacy.level({"!lunch:example.org", "!secret:example.org"}) is Level.HIDDEN
    assert Config().privacy.privacy.level({"!lunch:example.org"}, is_locked=True) is Level.SENDER


def test_a_fallback_is_read_whole_or_refused() -> None:
    assert Config().fallback.fallback is None
    assert parse_config(CHANGED).fallback.fallback == Fallback(
        "https://ntfy.example.org/_matrix/push/v1/notify", "https://ntfy.example.org/up?up=1", "org.example.mine", False
    )
    with pytest.raises(UserError, match="the gateway is not encrypted") as refusal:
        _ = parse_config('[fallback]\ngateway = "http://x.org/_matrix/push/v1/notify"').fallback.fallback
    assert refusal.value.exit_code == EXIT_CONFIG
