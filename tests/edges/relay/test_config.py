"""The relay's configuration: a file and flags with the same keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.errors import EXIT_CONFIG, UserError
from heliograph.relay.config import RelayConfig, load_relay_config


def load(tmp_path: Path, text: str, **flags: object) -> RelayConfig:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    return load_relay_config(file, flags)


def test_flags_go_before_the_file_and_what_is_in_neither_has_a_default(tmp_path: Path) -> None:
    text = 'homeserver = "http://10.0.0.2:8008"\nlisten = "127.0.0.1:9000"\ntrusted_proxies = ["10.0.0.1/32"]'
    config = load(tmp_path, text, listen="127.0.0.1:9001", homeserver=None)
    assert config.homeserver == "http://10.0.0.2:8008"
    assert config.listen == "127.0.0.1:9001"
    assert config.trusted_proxies == ("10.0.0.1/32",)
    assert config.log_level == "info"


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8077", "http://127.0.0.1:8077/_matrix/push/v1/notify"),
        ("0.0.0.0:80", "http://127.0.0.1:80/_matrix/push/v1/notify"),
        ("[::1]:80", "http://[::1]:80/_matrix/push/v1/notify"),
    ],
)
def test_the_gateway_is_where_the_relay_listens_unless_it_is_named(listen: str, url: str) -> None:
    assert load_relay_config(None, {"listen": listen}).notify_url == url
    named = "https://push.example.org/_matrix/push/v1/notify"
    assert load_relay_config(None, {"listen": listen, "gateway_url": named}).notify_url == named


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('homesever = "x"', "homesever"),
        ("listen = 8077", "listen"),
        ('listen = "8077"', "listen"),
        ('listen = "h:99999"', "listen"),
        ('homeserver = "example.org"', "homeserver"),
        ('homeserver = "http://u:p@example.org"', "homeserver"),
        ('gateway_url = "https://example.org/push"', "gateway_url"),
        ('gateway_url = "https://example.org/_matrix/push/v1/notify?x=1"', "gateway_url"),
        ('trusted_proxies = ["nginx"]', "trusted_proxies"),
        ('allow_networks = ["10.0.0.1/8"]', "allow_networks"),
        ('operators = ["everybody"]', "operators"),
        ("gateway_only = true", "users"),
        ('[users]\nyou = "sha256:' + "0" * 64 + '"', "gateway_only"),
        ('gateway_only = true\n[users]\nyou = "a-token"', "you"),
        ("a = [", "TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as refused:
        load(tmp_path, text)
    assert refused.value.exit_code == EXIT_CONFIG
    assert refused.value.hint
    assert "u:p" not in refused.value.title


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_relay_config(tmp_path / "none.toml", {})
