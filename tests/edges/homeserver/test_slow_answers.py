"""Answers that come slowly are waited for as long as they keep coming, and the watchdog hears of it."""

from __future__ import annotations

from aiohttp import web

from edges.homeserver.conftest import Serve

PIECE = 64 * 1024


async def test_an_answer_that_keeps_coming_shows_that_it_does(serve: Serve) -> None:
    async def send(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(8):
            await response.write(b"x" * PIECE)
        return response

    beats: list[None] = []
    session = await serve(send, on_progress=lambda: beats.append(None))
    assert len(await session.request("GET", "/large")) == 8 * PIECE
    assert 1 <= len(beats) <= 8


async def test_a_small_answer_is_no_progress_to_tell_of(serve: Serve) -> None:
    async def send(request: web.Request) -> web.StreamResponse:
        return web.json_response({})

    beats: list[None] = []
    session = await serve(send, on_progress=lambda: beats.append(None))
    await session.request("GET", "/small")
    assert beats == []
