from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from edges.cli.conftest import Shell
from edges.cli.test_status_command import daemon_says, make_status
from edges.login_server import LoginServer
from heliograph.accounts import list_accounts, state_folder
from heliograph.core.pushers.pusher import PusherKey
from heliograph.core.status import HandoffStatus
from heliograph.store.ledger import SqliteLedger
from heliograph.store.lock import AccountLock
from heliograph.store.reader import open_readonly
from support.builders import ME
from support.buses import PrivateBus

PHONE = ("org.example.phone", "phone-key")
THEIRS = ("org.example.theirs", "their-key")


def listed(key: PusherKey, *, enabled: bool) -> dict[str, Any]:
    return {
        "app_id": key[0],
        "pushkey": key[1],
        "kind": "http",
        "app_display_name": "Phone app",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": "https://push.example.org/_matrix/push/v1/notify"},
        "org.matrix.msc3881.enabled": enabled,
    }


def remember(*keys: PusherKey) -> None:
    """As a daemon that was killed left it."""

    async def write() -> None:
        ledger = await SqliteLedger.open(state_folder(ME))
        await ledger.set_switched_off(keys)
        await ledger.close()

    asyncio.run(write())


def remembered() -> frozenset[PusherKey]:
    async def read() -> frozenset[PusherKey]:
        reader = await open_readonly(state_folder(ME))
        try:
            return (await reader.account()).switched_off
        finally:
            await reader.close()

    return asyncio.run(read())


@pytest.fixture
def killed(signed_in: LoginServer) -> LoginServer:
    """A daemon had the phone switched off, another client has another pusher so, and then there was a kill."""
    signed_in.pushers = [listed(PHONE, enabled=False), listed(THEIRS, enabled=False)]
    remember(PHONE)
    return signed_in


def is_on(server: LoginServer, key: PusherKey) -> bool:
    pusher = next(each for each in server.pushers if (each["app_id"], each["pushkey"]) == key)
    return pusher.get("org.matrix.msc3881.enabled") is not False


def test_leaving_gives_back_what_we_took_and_nothing_else(shell: Shell, killed: LoginServer) -> None:
    result = shell.run("handoff", "--leave")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{ME}: 1 pusher switched on again.\n"
    assert is_on(killed, PHONE)
    assert not is_on(killed, THEIRS)
    assert remembered() == frozenset()


def test_leaving_again_asks_nobody(shell: Shell, killed: LoginServer) -> None:
    shell.run("handoff", "--leave")
    count = len(killed.requests)
    result = shell.run("handoff", "--leave")
    assert (result.exit_code, result.output) == (0, "")
    assert len(killed.requests) == count


def test_what_another_client_has_switched_on_is_not_sent_again(shell: Shell, killed: LoginServer) -> None:
    killed.pushers[0]["org.matrix.msc3881.enabled"] = True
    assert "0 pushers" in shell.run("handoff", "--leave").stdout
    assert "POST /pushers/set" not in killed.requests
    assert remembered() == frozenset()


def test_a_switch_that_was_on_its_way_when_the_daemon_was_killed_is_undone_too(
    shell: Shell, killed: LoginServer
) -> None:
    killed.pushers = [listed(PHONE, enabled=True)]
    killed.after_listing.append(lambda: killed.pushers[0].update({"org.matrix.msc3881.enabled": False}))
    assert "1 pusher switched on" in shell.run("handoff", "--leave").stdout
    assert is_on(killed, PHONE)


def test_a_running_daemon_is_left_to_it(shell: Shell, killed: LoginServer) -> None:
    lock = AccountLock.take(state_folder(ME))
    result = shell.run("handoff", "--leave")
    lock.release()
    assert result.exit_code == 0
    assert "hands over by itself" in result.stdout
    assert not is_on(killed, PHONE)


def test_our_own_pusher_is_left_to_the_daemon(shell: Shell, killed: LoginServer) -> None:
    own = ("io.github.heliograph", list_accounts()[0].pushkey)
    remember(PHONE, own)
    shell.run("handoff", "--leave")
    assert remembered() == {own}


def test_a_homeserver_that_fails_is_told_and_remembered(shell: Shell, killed: LoginServer) -> None:
    killed.answers["POST /pushers/set"] = 502, "bad gateway"
    result = shell.run("handoff", "--leave")
    assert result.exit_code == 1
    assert ME in result.stderr
    assert remembered() == {PHONE}
    del killed.answers["POST /pushers/set"]
    assert shell.run("handoff", "--leave").exit_code == 0


def test_signing_out_gives_back_first(shell: Shell, killed: LoginServer) -> None:
    killed.answers["POST /pushers/set"] = 502, "bad gateway"
    assert shell.run("logout", ME).exit_code == 1
    assert remembered() == {PHONE}
    del killed.answers["POST /pushers/set"]
    assert shell.run("logout", ME).exit_code == 0
    assert is_on(killed, PHONE)
    assert not is_on(killed, THEIRS)


def test_an_account_that_never_ran_has_nothing_to_give_back(shell: Shell, signed_in: LoginServer) -> None:
    result = shell.run("handoff", "--leave")
    assert (result.exit_code, result.output) == (0, "")


def test_it_tells_who_rings(shell: Shell, private_bus: PrivateBus) -> None:
    status = make_status(handoff=HandoffStatus(set_up="switch", quiet=("Pixel",), trouble="no connection"))
    with daemon_says(private_bus, status.as_json):
        result = shell.run("handoff")
        told = json.loads(shell.run("handoff", "--json").stdout)
    assert result.exit_code == 0
    assert "silent meanwhile: Pixel (you are here)" in result.stdout
    assert "no connection; tried again" in result.stdout
    assert told["accounts"][ME]["set_up"] == "switch"
    assert told["accounts"][ME]["present"] is True


def test_without_a_daemon_it_says_so(shell: Shell, private_bus: PrivateBus) -> None:
    assert shell.run("handoff").exit_code == 1
    assert json.loads(shell.run("handoff", "--json").stdout) == {"running": False, "accounts": {}}
    assert shell.run("handoff", "--json", "--leave").exit_code == 2


def test_what_a_killed_daemon_left_silent_is_told(shell: Shell, private_bus: PrivateBus, killed: LoginServer) -> None:
    remember(PHONE, ("io.github.heliograph", list_accounts()[0].pushkey))
    for command in ("handoff", "status"):
        assert "heliograph handoff --leave" in shell.run(command).stdout
    assert json.loads(shell.run("status", "--json").stdout)["accounts"][0]["silent"] == 1
    lock = AccountLock.take(state_folder(ME))
    for command in ("handoff", "status"):
        told = shell.run(command).stdout
        assert "does not answer" in told
        assert "--leave" not in told
    lock.release()
    shell.run("handoff", "--leave")
    for command in ("handoff", "status"):
        assert "--leave" not in shell.run(command).stdout
