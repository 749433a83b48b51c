"""Pushers that lead to a relay which is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heliograph.core.pushers.pusher import Pusher
from heliograph.core.pushers.relayed import ORIGINAL, led_to_relay, relay_of

URL = "http://127.0.0.1:8077/_matrix/push/v1/notify"
PHONE = Pusher("app", "key", "http", "App", "Phone", "en", {"url": "https://push.example.org/_matrix/push/v1/notify"})
TWIN = replace(PHONE, data={"url": URL, ORIGINAL: {"url": PHONE.data["url"], "pushkey": "key"}})


def test_what_a_relay_has_put_in_a_phones_place_is_found_and_nothing_else() -> None:
    waker = replace(PHONE, data={"url": URL, ORIGINAL: {"direct": {}}})
    odd = [replace(PHONE, data={ORIGINAL: value}) for value in (5, {"url": 5}, {"url": URL})]
    assert led_to_relay([PHONE, TWIN, waker, *odd]) == [TWIN]


@pytest.mark.parametrize(("url", "name"), [(URL, "127.0.0.1:8077"), ("https://[::1", "an address that cannot be read")])
def test_the_relay_is_named_by_host_and_port(url: str, name: str) -> None:
    assert relay_of(replace(TWIN, data={**TWIN.data, "url": url})) == name
