from __future__ import annotations

from dataclasses import replace

import pytest

from heliograph.core.pushers.pusher import is_called
from support.builders import make_pusher

PHONE = make_pusher(app_display_name="Element Android", device_display_name="Pixel", app_id="im.vector.app.android")


@pytest.mark.parametrize("name", ["Element Android", " element android ", "PIXEL", "im.vector.app.android"])
def test_a_pusher_answers_to_its_app_its_device_and_its_app_id(name: str) -> None:
    assert is_called(PHONE, name)


@pytest.mark.parametrize("name", ["", " ", "Element", "Pixel 9", "key"])
def test_a_pusher_answers_to_nothing_else(name: str) -> None:
    assert not is_called(PHONE, name)
    assert not is_called(replace(PHONE, app_display_name="", device_display_name=""), name)


def test_a_pusher_answers_to_its_short_id_which_tells_nothing_of_its_pushkey() -> None:
    secret = make_pusher(pushkey="https://ntfy.example.org/upSecret")
    assert is_called(secret, secret.short_id)
    assert len(secret.short_id) == 8
    assert secret.short_id != make_pusher(pushkey="another").short_id


def test_what_the_server_adds_is_no_difference() -> None:
    listed = replace(PHONE, is_enabled=False, device_id="D", profile_tag="")
    assert listed != PHONE
    assert listed.as_sent == PHONE.as_sent
    assert replace(PHONE, lang="de").as_sent != PHONE.as_sent
