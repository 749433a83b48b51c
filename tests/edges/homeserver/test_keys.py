"""Answers about keys that are not what the specification says, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from heliograph.errors import AnswerTooLarge, BadAnswer, LoggedOut, Refused, ServerError
from heliograph.homeserver.keys import KeysClient
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import BackupVersion
from support.builders import ALICE, ME, ROOM

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[Session]]
CALLS: dict[str, Callable[[KeysClient], Awaitable[object]]] = {
    "upload_keys": lambda keys: keys.upload_keys(one_time_keys={"signed_curve25519:A": {}}),
    "query_keys": lambda keys: keys.query_keys([ME]),
    "claim_keys": lambda keys: keys.claim_keys({ALICE: {"D": "signed_curve25519"}}),
    "upload_signatures": lambda keys: keys.upload_signatures({ME: {"D": {}}}),
    "send_to_device": lambda keys: keys.send_to_device("m.dummy", {ALICE: {"D": {}}}, "t/1"),
    "account_data": lambda keys: keys.account_data("m.secret_storage.default_key"),
    "backup_version": lambda keys: keys.backup_version(),
    "backed_up_key": lambda keys: keys.backed_up_key("1", ROOM, "a/b"),
}


async def keys_of(
    serve: Serve, answer: object, status: int = 200, asked: list[tuple[str, str, Any]] | None = None
) -> KeysClient:
    async def answer_all(request: web.Request) -> web.Response:
        if asked is not None:
            asked.append((request.method, request.raw_path, await request.json() if request.can_read_body else None))
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(status=status, text=text)

    return KeysClient(await serve(answer_all))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("answer", ["", "[]", "{", "null", "<html>", '"text"'])
async def test_an_answer_that_is_no_object_is_a_bad_answer(
    serve: Serve, call: Callable[[KeysClient], Awaitable[object]], answer: str
) -> None:
    keys = await keys_of(serve, answer)
    with pytest.raises(BadAnswer):
        await call(keys)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_signed_out_is_said(serve: Serve, call: Callable[[KeysClient], Awaitable[object]]) -> None:
    keys = await keys_of(serve, {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": True}, 401)
    with pytest.raises(LoggedOut):
        await call(keys)


@pytest.mark.parametrize("call", ["account_data", "backup_version", "backed_up_key"])
async def test_what_the_server_does_not_have_is_none(serve: Serve, call: str) -> None:
    assert await CALLS[call](await keys_of(serve, {"errcode": "M_NOT_FOUND"}, 404)) is None
    with pytest.raises(BadAnswer):
        await CALLS[call](await keys_of(serve, "no such page", 404))
    with pytest.raises(Refused):
        await CALLS[call](await keys_of(serve, {"errcode": "M_FORBIDDEN"}, 403))


@pytest.mark.parametrize("call", ["account_data", "backup_version", "backed_up_key"])
async def test_what_is_too_large_to_be_it_is_not_read(serve: Serve, call: str) -> None:
    with pytest.raises(AnswerTooLarge):
        await CALLS[call](await keys_of(serve, {"x": "x" * 300_000}))


@pytest.mark.parametrize("junk", [None, 1, "text", [], [1], {"a": 1}])
async def test_parts_that_are_no_objects_are_left_out(serve: Serve, junk: object) -> None:
    good: dict[str, Any] = {"keys": {}}
    answer = {
        "device_keys": {ME: {"GOOD": good, "BAD": junk if junk != {"a": 1} else []}, ALICE: 7},
        "master_keys": junk,
        "self_signing_keys": {ME: good, ALICE: None},
    }
    published = await (await keys_of(serve, answer)).query_keys([ME, ALICE])
    assert published.devices == {ME: {"GOOD": good}}
    assert published.master == {}
    assert published.self_signing == {ME: good}
    claimed = await (await keys_of(serve, {"one_time_keys": {ME: {"D": good, "E": 3}, ALICE: junk}})).claim_keys({})
    assert claimed[ME] == {"D": good}
    assert not claimed.get(ALICE)


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        ({"one_time_key_counts": {"signed_curve25519": 50, "x": "9", "y": True}}, {"signed_curve25519": 50}),
        ({"one_time_key_counts": []}, {}),
        ({}, {}),
    ],
)
async def test_counts_are_numbers(serve: Serve, answer: object, counts: object) -> None:
    asked: list[tuple[str, str, Any]] = []
    keys = await keys_of(serve, answer, asked=asked)
    assert await keys.upload_keys(fallback_keys={"signed_curve25519:B": {}}) == counts
    assert asked == [("POST", "/_matrix/client/v3/keys/upload", {"fallback_keys": {"signed_curve25519:B": {}}})]


async def test_a_signature_that_was_not_taken_is_refused(serve: Serve) -> None:
    await (await keys_of(serve, {"failures": {}})).upload_signatures({ME: {}})
    with pytest.raises(Refused, match="1 signature was"):
        await (await keys_of(serve, {"failures": {ME: {"D": {"errcode": "M_INVALID"}}}})).upload_signatures({ME: {}})


async def test_ids_are_quoted(serve: Serve) -> None:
    asked: list[tuple[str, str, Any]] = []
    keys = await keys_of(serve, {}, asked=asked)
    await keys.send_to_device("m.dummy", {ALICE: {"*": {}}}, "t/1?")
    await keys.backed_up_key("1&x", ROOM, "a/b+c")
    await keys.account_data("m.x/../y")
    assert [path for _, path, _ in asked] == [
        "/_matrix/client/v3/sendToDevice/m.dummy/t%2F1%3F",
        "/_matrix/client/v3/room_keys/keys/%21room%3Aexample.org/a%2Fb%2Bc?version=1%26x",
        "/_matrix/client/v3/user/%40me%3Aexample.org/account_data/m.x%2F..%2Fy",
    ]


async def test_a_backup_version_is_whole_or_a_bad_answer(serve: Serve) -> None:
    whole = {"version": "3", "algorithm": "m.x", "auth_data": {"public_key": "k"}, "count": 1}
    keys = await keys_of(serve, whole)
    assert await keys.backup_version() == BackupVersion("3", "m.x", {"public_key": "k"})
    for key in ("version", "algorithm", "auth_data"):
        with pytest.raises(ServerError):
            await (await keys_of(serve, {**whole, key: 1})).backup_version()
