from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator

import click
import pytest

from edges.login_server import LoginServer, auth_metadata
from heliograph.accounts import Account, make_private_folder, state_folder
from heliograph.cli.login.change import offer_change
from heliograph.cli.login.earlier import Earlier
from heliograph.cli.login.ways import Way
from heliograph.errors import UserError
from heliograph.secrets.secret import Secret
from heliograph.store.lock import AccountLock
from support.builders import ME


@pytest.fixture
def server() -> Iterator[LoginServer]:
    with LoginServer() as server:
        server.answers["GET /v1/auth_metadata"] = 200, auth_metadata(server.url)
        yield server


def offer(server: LoginServer, way: Way = Way.ANY) -> None:
    account = Account(user_id=ME, device_id="OLDDEVICE1", homeserver=server.url, secrets="file", pushkey="k")
    earlier = Earlier(account, Secret(access_token="syt_lasts", pickle_key="key"), is_signed_in=True)
    asyncio.run(offer_change(earlier, way))


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[str]]:
    """Sits before a terminal, and answers each question so. Gives the questions."""

    def answer_so(is_yes: bool) -> list[str]:
        asked: list[str] = []

        def confirm(question: str) -> bool:
            asked.append(question)
            return is_yes

        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(click, "confirm", confirm)
        return asked

    return answer_so


def test_a_terminal_is_asked_and_may_say_no(server: LoginServer, answer: Callable[[bool], list[str]]) -> None:
    asked = answer(True)
    offer(server)
    assert asked == ["Sign it in by OAuth 2.0?"]
    answer(False)
    with pytest.raises(UserError, match="Nothing was changed"):
        offer(server)


def test_whoever_asks_for_a_code_is_not_asked(server: LoginServer, answer: Callable[[bool], list[str]]) -> None:
    asked = answer(False)
    offer(server, Way.DEVICE_CODE)
    assert asked == []


@pytest.mark.parametrize("way", [Way.SSO, Way.PASSWORD, Way.ACCESS_TOKEN])
def test_who_asks_for_an_older_way_is_signed_in_already(
    server: LoginServer, answer: Callable[[bool], list[str]], way: Way
) -> None:
    answer(True)
    with pytest.raises(UserError, match="is signed in already, as device OLDDEVICE1"):
        offer(server, way)


def test_a_server_of_the_older_ways_offers_no_change(server: LoginServer, answer: Callable[[bool], list[str]]) -> None:
    answer(True)
    del server.answers["GET /v1/auth_metadata"]
    with pytest.raises(UserError, match=r"signed in already, as device OLDDEVICE1$") as refusal:
        offer(server)
    assert "heliograph logout" in refusal.value.hint


def test_a_device_does_not_change_under_a_running_daemon(
    server: LoginServer, answer: Callable[[bool], list[str]]
) -> None:
    answer(True)
    make_private_folder(state_folder(ME))
    lock = AccountLock.take(state_folder(ME))
    try:
        with pytest.raises(UserError, match="not while Heliograph runs") as refusal:
            offer(server, Way.DEVICE_CODE)
    finally:
        lock.release()
    assert "Stop it first" in refusal.value.hint
