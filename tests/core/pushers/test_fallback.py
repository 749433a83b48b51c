"""What makes a fallback, and what a gateway's answers mean. Statuses as ntfy, Sygnal and common-proxies give them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from heliograph.core.pushers.fallback import (
    NOTIFY_PATH,
    Fallback,
    GatewayAnswer,
    explain_answer,
    fallback_pusher,
    is_matrix_gateway,
    notify_url,
    ntfy_poll_url,
    ntfy_pushkey,
    ntfy_topic,
    ntfy_warnings,
    trial_push,
    why_unfit,
    why_unfit_url,
)

TOPIC = "https://ntfy.example.org/upAbCdEf123456?up=1"
FALLBACK = Fallback(f"https://ntfy.example.org{NOTIFY_PATH}", TOPIC)


def test_ids_only_are_pushed_unless_the_user_wants_more() -> None:
    assert fallback_pusher(FALLBACK, "desk").data == {"url": FALLBACK.gateway, "format": "event_id_only"}
    assert fallback_pusher(replace(FALLBACK, is_event_id_only=False), "desk").data == {"url": FALLBACK.gateway}
    assert fallback_pusher(FALLBACK, "desk").kind == "http"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"gateway": f"http://ntfy.example.org{NOTIFY_PATH}"}, "the gateway is not encrypted"),
        ({"gateway": "https://ntfy.example.org/topic"}, "does not end in"),
        ({"gateway": f"https://ntfy.example.org{NOTIFY_PATH}?a=1"}, "does not end in"),
        ({"gateway": f"https://a:b@ntfy.example.org{NOTIFY_PATH}"}, "a user name"),
        ({"gateway": "ntfy"}, "not an http(s) URL"),
        ({"gateway": "https://[::1"}, "not a URL"),
        ({"gateway": "https://x y/"}, "not a URL"),
        ({"gateway": "https://x:99999/"}, "not a URL"),
        ({"gateway": "https:///path"}, "not an http(s) URL"),
        ({"pushkey": ""}, "the pushkey"),
        ({"pushkey": "x" * 513}, "the pushkey"),
        ({"app_id": "x" * 65}, "the app_id"),
        ({"app_id": "a\nb"}, "the app_id"),
    ],
)
def test_what_no_homeserver_would_push_to_is_named(change: dict[str, str], problem: str) -> None:
    assert problem in str(why_unfit(replace(FALLBACK, **change)))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["localhost", "localhost.", "127.0.0.1:8080", "[::1]:80"])
def test_this_machine_may_be_plain_http(host: str) -> None:
    assert why_unfit_url(f"http://{host}/topic") is None


def test_a_good_one_is_fit() -> None:
    assert why_unfit(FALLBACK) is None


def test_the_gateway_of_an_endpoint_is_at_its_servers_root() -> None:
    assert notify_url("https://push.example.org:8443/a/b?c=d#e") == f"https://push.example.org:8443{NOTIFY_PATH}"


@pytest.mark.parametrize(
    ("path", "topic"),
    [("", ""), ("/", ""), ("/up12", "up12"), ("/a/b", None), ("/a%20b", None), ("/" + "a" * 65, None)],
)
def test_a_topic_is_one_short_segment(path: str, topic: str | None) -> None:
    assert ntfy_topic(f"https://ntfy.example.org{path}") == topic


def test_a_topics_pushkey_is_marked_and_its_listing_found() -> None:
    assert ntfy_pushkey("https://ntfy.example.org/x?y", "upAbCdEf123456") == TOPIC
    assert ntfy_poll_url(TOPIC) == "https://ntfy.example.org/upAbCdEf123456/json?poll=1&since=10m"


def test_limits_that_strike_others_are_warned_of() -> None:
    assert ntfy_warnings(TOPIC) == []
    assert [text.split()[0] for text in ntfy_warnings("https://ntfy.sh/mine?up=1")] == ["ntfy.sh", "A"]


@pytest.mark.parametrize(
    ("status", "body", "is_one"),
    [
        (200, {"unifiedpush": {"gateway": "matrix"}}, True),
        (404, {"unifiedpush": {"gateway": "matrix"}}, False),
        (200, {"unifiedpush": {"gateway": "mail"}}, False),
        (200, {"unifiedpush": "matrix"}, False),
        (200, ["matrix"], False),
        (200, None, False),
    ],
)
def test_a_gateway_says_that_it_is_one(status: int, body: Any, is_one: bool) -> None:
    assert is_matrix_gateway(GatewayAnswer(status, body)) is is_one


def test_a_trial_looks_like_a_homeservers_push() -> None:
    push = trial_push(FALLBACK, "$test")["notification"]
    assert set(push) == {"event_id", "room_id", "prio", "counts", "devices"}
    assert push["devices"][0]["pushkey"] == TOPIC
    full = trial_push(replace(FALLBACK, is_event_id_only=False), "$test")["notification"]
    assert full["content"]["body"] == "A test of the fallback."
    long = trial_push(replace(FALLBACK, is_event_id_only=False), "$test", is_long=True)["notification"]
    assert len(long["content"]["body"]) == 4000


@pytest.mark.parametrize("body", [{}, {"rejected": []}, [], {"rejected": None}, {"rejected": ["another"]}])
def test_what_homeservers_take_for_success_is_good(body: Any) -> None:
    assert explain_answer(GatewayAnswer(200, body), TOPIC).is_good


@pytest.mark.parametrize(
    ("answer", "title", "hint"),
    [
        (GatewayAnswer(200, {"rejected": [TOPIC]}), "rejects the pushkey", "base-url"),
        (GatewayAnswer(200, None), "without JSON", "address"),
        (GatewayAnswer(302), "redirects", "redirects to"),
        (GatewayAnswer(413), "even the smallest push too large (HTTP 413)", "Raise its limit"),
        (GatewayAnswer(429, None, "30"), "rate limit", "asks to wait for 30 s. Wait, or"),
        (GatewayAnswer(507), "nobody to deliver to", "Subscribe to the topic"),
        (GatewayAnswer(403), "forbids", "anonymous"),
        (GatewayAnswer(404), "no such place", "address"),
        (GatewayAnswer(500), "failed (HTTP 500)", "log"),
        (GatewayAnswer(503, None, ""), "overloaded", "Try again later."),
    ],
)
def test_every_other_answer_is_explained(answer: GatewayAnswer, title: str, hint: str) -> None:
    finding = explain_answer(answer, TOPIC)
    assert not finding.is_good
    assert title in finding.text
    assert hint in finding.cure


def test_a_long_message_that_is_too_large_is_explained_otherwise() -> None:
    finding = explain_answer(GatewayAnswer(413), TOPIC, is_long=True)
    assert "long message" in finding.text
    assert "event_id_only" in finding.cure
