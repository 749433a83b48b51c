"""Answers of the homeserver that are read whole have one bound for all of them that are in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from edges.relay.running import RunningRelay, direct_body
from edges.relay.sync.test_other_homeservers import ids, set_pusher, sync
from fakes.scripted_homeserver import AUTHORIZATION, ScriptedHomeserver
from heliograph.relay.proxy import upstream
from heliograph.relay.proxy.memory import SMALL, AnswerMemory
from heliograph.relay.proxy.upstream import Answer, NotAnswered, Upstream

LARGE = b"x" * (SMALL + 1)


@pytest.fixture
async def homeserver() -> AsyncIterator[str]:
    """It answers with something large."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=LARGE)

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def asking(homeserver: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Upstream]:
    """There is room for two answers and a half."""
    monkeypatch.setattr(upstream, "AnswerMemory", partial(AnswerMemory, 5 * len(LARGE) // 2))
    asking = Upstream(homeserver)
    yield asking
    await asking.close()


async def test_without_room_a_question_is_not_answered_and_with_room_it_is_again(asking: Upstream) -> None:
    ask = partial(asking.ask, "GET", "/", {})
    answers: list[Answer] = [await ask(), await ask()]
    assert asking.memory.held == 2 * len(LARGE)
    with pytest.raises(NotAnswered, match="too many answers are in memory"):
        await ask()
    # As soon as nobody looks into one of them any more.
    del answers[0]
    answers.append(await ask())
    answers.clear()
    assert asking.memory.held == 0


async def test_what_is_broken_off_is_given_back(asking: Upstream) -> None:
    with pytest.raises(NotAnswered):
        await asking.ask("GET", "/", {}, limit=100)
    task = asyncio.create_task(asking.ask("GET", "/", {}))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert asking.memory.held == 0


async def test_a_sync_without_room_passes_as_it_is_and_the_next_one_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "AnswerMemory", partial(AnswerMemory, 4_000))
    async with ScriptedHomeserver() as server, RunningRelay(server.url, tmp_path / "relay") as relay:
        url = f"{relay.url}/_matrix/client/v3/"
        async with aiohttp.ClientSession(url, headers=AUTHORIZATION) as client:
            await set_pusher(client, direct_body())
            server.extra = b',"large":"' + b"x" * 5_000 + b'"'
            server.send("$1")
            async with client.get("sync", params={"since": "s1", "timeout": "0"}) as response:
                passed = json.loads(await response.read())
            assert len(passed["large"]) == 5_000
            assert "notifications" not in passed
            server.extra = b""
            server.send("$2")
            _, notifications = await sync(client, passed["next_batch"])
            assert ids(notifications) == ["$1", "$2"]
