"""The log guard over real parts: what nobody announced is a complaint, whatever program or homeserver it comes from."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from conftest import NewUser
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.errors import Refused
from heliograph.homeserver.client import HomeserverClient
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import SyncRequest
from support.log_guard import ExpectLog, watching
from support.ports import reserve_port
from support.waiting import until
from system.daemon import Daemon, sign_in
from system.relay_process import RelayProcess


async def test_what_the_homeserver_refuses_is_a_complaint(
    synapse: ThrowawaySynapse, new_user: NewUser, expect_log: ExpectLog
) -> None:
    expect_log("^homeserver 400 GET .*since=nonsense")
    me = await new_user()
    session = Session(synapse.base_url, access_token=me.access_token, user_id=me.user_id, device_id=me.device_id)
    client = HomeserverClient(session)
    with watching() as guard:
        with pytest.raises(Refused):
            await client.sync(SyncRequest(since="nonsense", timeout_ms=0))
        await until(guard.complaints, "the complaint")
    await client.close()
    (complaint,) = guard.complaints()
    assert complaint.startswith("homeserver 400 GET /_matrix/client/v3/sync?")
    assert complaint.endswith(f" of {me.user_id}")


async def test_what_a_relay_warns_of_is_a_complaint(synapse: ThrowawaySynapse, tmp_path: Path) -> None:
    monitor = f"127.0.0.1:{reserve_port(synapse)}"
    with watching() as guard:
        async with RelayProcess(synapse.base_url, tmp_path / "relay", f'monitor = "{monitor}"'):
            with closing(sqlite3.connect(tmp_path / "relay/relay.db")) as db:
                db.execute("DROP TABLE pushes")
            async with aiohttp.request("GET", f"http://{monitor}/health"):
                pass
    (complaint,) = guard.complaints()
    assert complaint.startswith("relay error: The relay's disk fails: ")


async def test_what_a_daemon_warns_of_is_a_complaint(new_user: NewUser, expect_log: ExpectLog) -> None:
    me = await new_user()
    account = await sign_in(me)
    with watching() as guard:
        async with Daemon():
            second = Daemon()
            await second.start(until_connected=False)
            assert await second.ended() == 78
    (complaint,) = guard.complaints()
    assert complaint.startswith(f"daemon error: {account.user_id} cannot run: Heliograph already runs")
