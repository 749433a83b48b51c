"""Pictures from homeservers of several ages and manners."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from heliograph.errors import AnswerTooLarge, Refused, ServerError, Unreachable
from heliograph.homeserver import media
from heliograph.homeserver.media import MAX_BYTES, Media
from heliograph.homeserver.session import Session

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[Session]]
URI = "mxc://example.org/abc"
NEW, OLD = "/_matrix/client/v1/media/thumbnail/example.org/abc", "/_matrix/media/v3/thumbnail/example.org/abc"


async def test_a_small_square_is_asked_for_with_the_token(serve: Serve) -> None:
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(body=b"picture", content_type="image/png")

    assert await Media(await serve(answer)).thumbnail(URI, 96) == b"picture"
    (request,) = seen
    assert request.path == NEW
    assert request.headers["Authorization"] == "Bearer tok"
    assert {name: request.query[name] for name in ("width", "height", "method", "animated")} == {
        "width": "96",
        "height": "96",
        "method": "crop",
        "animated": "false",
    }


@pytest.mark.parametrize("body", [{"errcode": "M_UNRECOGNIZED"}, None])
async def test_an_old_homeserver_has_them_elsewhere_which_is_remembered(
    serve: Serve, body: dict[str, str] | None
) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        if request.path == NEW:
            return web.Response(status=404) if body is None else web.json_response(body, status=404)
        return web.Response(body=b"picture")

    pictures = Media(await serve(answer))
    for _ in range(2):
        assert await pictures.thumbnail(URI, 96) == b"picture"
    assert seen == [NEW, OLD, OLD]


async def test_what_is_not_there_is_refused_and_not_sought_elsewhere(serve: Serve) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response({"errcode": "M_NOT_FOUND"}, status=404)

    with pytest.raises(Refused):
        await Media(await serve(answer)).thumbnail(URI, 96)
    assert seen == [NEW]


async def test_a_large_one_is_not_taken(serve: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * (MAX_BYTES + 1))

    with pytest.raises(AnswerTooLarge):
        await Media(await serve(answer)).thumbnail(URI, 96)


async def test_a_redirect_is_not_followed(serve: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

    with pytest.raises(ServerError):
        await Media(await serve(answer)).thumbnail(URI, 96)


@pytest.mark.expected_log("Error handling request from 127.0.0.1", times=(0, 1))
async def test_one_that_drips_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "_TIMEOUT_S", 0.2)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.02)

    with pytest.raises(Unreachable, match="in time"):
        await Media(await serve(answer)).thumbnail(URI, 96)


@pytest.mark.parametrize("uri", ["http://example.org/a", "mxc://example.org/../../x", "mxc://a b/c", ""])
async def test_what_is_no_mxc_uri_is_never_asked_for(serve: Serve, uri: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        raise AssertionError(request.path)

    with pytest.raises(Refused):
        await Media(await serve(answer)).thumbnail(uri, 96)
