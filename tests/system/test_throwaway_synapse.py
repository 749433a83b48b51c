"""The homeserver of demonstrations and tests: there when wanted, and gone afterwards."""

from __future__ import annotations

import asyncio
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from conftest import NewUser
from heliograph.demo.homeserver import ThrowawaySynapse, free_port
from heliograph.errors import Refused, Unreachable, UserError
from support.waiting import has_ended, until


async def test_a_message_reaches_another_user(new_user: NewUser) -> None:
    alice, bob = await new_user("alice"), await new_user("bob")
    room = await alice.create_room("Harbour", invite=[bob])
    await bob.join(room)
    event = await alice.send_text(room, "ahoy", mentions=[bob])
    (notification, *_) = (await bob.call("GET", "/notifications"))["notifications"]
    assert notification["event"]["event_id"] == event
    assert {"set_tweak": "highlight"} in notification["actions"]


async def test_users_can_do_what_tests_ask_of_them(new_user: NewUser) -> None:
    alice, bob = await new_user("alice"), await new_user("bob")
    room = await alice.create_room(invite=[bob], is_direct=True)
    await bob.join(room)
    root = await alice.send_text(room, "one")
    reply = await alice.send_text(room, "two", thread=root)
    await alice.edit(room, root, "one, corrected")
    await bob.react(room, root)
    await bob.read(room, reply, thread_id=root)
    await bob.read(room, root, "m.read.private", thread_id="main")
    await alice.redact(room, reply)
    await alice.rename(room, "Renamed")
    await alice.set_display_name("Alice")
    await bob.mute(room)
    await bob.set_account_data("m.direct", {alice.user_id: [room]})
    await alice.kick(room, bob)
    await alice.invite(room, bob)
    await bob.leave(room)
    other = await bob.login_again("Phone")
    assert other.user_id == bob.user_id
    assert other.device_id != bob.device_id
    rules = (await other.call("GET", "/pushrules/"))["global"]["override"]
    assert room in [rule["rule_id"] for rule in rules]
    await other.logout()
    with pytest.raises(Refused):
        await other.call("GET", "/account/whoami")


async def test_it_tells_that_pushers_can_be_switched_off(synapse: ThrowawaySynapse, new_user: NewUser) -> None:
    versions = await (await new_user()).call("GET", "/_matrix/client/versions")
    assert versions["unstable_features"]["org.matrix.msc3881"] is True


async def test_a_taken_name_is_refused(synapse: ThrowawaySynapse) -> None:
    await synapse.register("taken")
    with pytest.raises(Refused) as refusal:
        await synapse.register("taken")
    assert refusal.value.errcode == "M_USER_IN_USE"


async def test_it_tells_what_it_does_and_leaves_nothing_behind() -> None:
    sentences: list[str] = []
    async with ThrowawaySynapse(progress=sentences.append) as server:
        pid, folder = server.pid, server.folder
        assert pid is not None
        assert folder.exists()
    assert has_ended(pid)
    assert not folder.exists()
    assert sentences[0].startswith("Starting a throwaway Synapse")
    assert sentences[-1].startswith(f"Synapse answers at {server.base_url}")


async def test_an_error_in_the_block_leaves_nothing_behind() -> None:
    server = ThrowawaySynapse()

    async def fail() -> None:
        async with server:
            seen.append((server.pid, server.folder))
            raise ZeroDivisionError

    seen: list[tuple[int | None, Path]] = []
    with pytest.raises(ZeroDivisionError):
        await fail()
    ((pid, folder),) = seen
    assert pid is not None
    assert has_ended(pid)
    assert not folder.exists()


async def test_cancelling_while_it_starts_leaves_nothing_behind() -> None:
    server = ThrowawaySynapse()
    starting = asyncio.create_task(server.__aenter__())
    pid = await until(lambda: server.pid, "the start of Synapse")
    folder = server.folder
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert has_ended(pid)
    assert not folder.exists()


async def test_a_restart_and_a_kill_keep_its_data_and_address() -> None:
    async with ThrowawaySynapse() as server:
        address = server.base_url
        alice = await server.register("alice")
        await server.restart()
        assert server.base_url == address
        room = await alice.create_room("Harbour")
        await server.kill()
        with pytest.raises(Unreachable):
            await alice.call("GET", "/joined_rooms")
        await server.start()
        assert await alice.call("GET", "/joined_rooms") == {"joined_rooms": [room]}


_PARENT = """
import asyncio
from heliograph.demo.homeserver import ThrowawaySynapse

async def main():
    async with ThrowawaySynapse(progress=lambda sentence: None) as server:
        print(server.pid, server.folder, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


_INTERRUPTED = pytest.mark.expected_log(r"command output: Traceback(.*\n)*KeyboardInterrupt$")


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, pytest.param(signal.SIGINT, marks=_INTERRUPTED, id="SIGINT")]
)
async def test_it_ends_with_its_parent_however_that_ends(number: signal.Signals) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(_PARENT)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert parent.stdout is not None
        pid, folder = (await asyncio.wait_for(parent.stdout.readline(), 60)).decode().split()
        parent.send_signal(number)
        await asyncio.wait_for(parent.wait(), 20)
        await until(lambda: has_ended(int(pid)), "the end of Synapse")
        await until(lambda: not Path(folder).exists(), "removal of the folder")
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()


async def test_a_start_that_fails_says_why_and_leaves_nothing_behind() -> None:
    server = ThrowawaySynapse(settings={"database": {"name": "no such engine"}})
    with pytest.raises(UserError) as failure:
        await server.__aenter__()
    assert failure.value.title == "Synapse ended while it was starting."
    assert "no such engine" in failure.value.hint
    assert server.pid is None
    with pytest.raises(AssertionError):
        server.folder  # noqa: B018


async def test_a_taken_port_is_passed_over() -> None:
    other = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    taken = other.sockets[0].getsockname()[1]
    ports = [free_port(), taken]
    async with other, ThrowawaySynapse(choose_port=ports.pop) as server:
        assert server.port != taken


async def test_without_synapse_it_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "synapse", None)
    with pytest.raises(UserError) as failure:
        await ThrowawaySynapse().__aenter__()
    assert "pip install 'heliograph[demo]'" in failure.value.hint
