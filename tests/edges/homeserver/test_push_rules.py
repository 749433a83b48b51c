"""Reading and changing push rules, request by request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from edges.homeserver.conftest import Serve
from heliograph.core.push.rule_change import Delete, Put, RuleChange, SetActions, SetEnabled
from heliograph.errors import BadAnswer, Refused
from heliograph.homeserver.push_rules import change_push_rules, fetch_push_rules


@pytest.mark.parametrize(
    ("change", "request_", "body"),
    [
        (Put("override", "a b?", {"actions": []}), "PUT override/a%20b%3F", {"actions": []}),
        (Put("content", "x", {}, before="a&b/c"), "PUT content/x?before=a%26b/c", {}),
        (Put("content", "x", {}, after="#é"), "PUT content/x?after=%23%C3%A9", {}),
        (SetEnabled("room", "!r:x", enabled=False), "PUT room/%21r%3Ax/enabled", {"enabled": False}),
        (SetActions("sender", "@a:x", ("notify",)), "PUT sender/%40a%3Ax/actions", {"actions": ["notify"]}),
        (Delete("override", "../../x"), "DELETE override/..%2F..%2Fx", None),
    ],
)
async def test_each_change_is_one_request(serve: Serve, change: RuleChange, request_: str, body: Any) -> None:
    asked: list[tuple[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        text = await request.text()
        path = str(request.raw_path).removeprefix("/_matrix/client/v3/pushrules/global/")
        asked.append((f"{request.method} {path}", json.loads(text) if text else None))
        return web.json_response({})

    await change_push_rules(await serve(answer), change)
    assert asked == [(request_, body)]


async def test_a_homeserver_without_push_rules_refuses(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=404, text="404 page not found")

    with pytest.raises(Refused):
        await change_push_rules(await serve(answer), Delete("override", "x"))


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_only_what_is_not_there_counts_as_deleted(serve: Serve, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"errcode": "M_UNKNOWN", "error": "No"}, status=status)

    with pytest.raises(Refused):
        await change_push_rules(await serve(answer), Delete("override", "x"))


async def test_rules_that_a_strict_parser_stops_at_are_read_all_the_same(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=rb'{"global": {"content": [{"rule_id": "\ud800", "x": NaN}]}}')

    rules = await fetch_push_rules(await serve(answer))
    assert rules == {"global": {"content": [{"rule_id": "\ufffd", "x": None}]}}


@pytest.mark.parametrize("body", ["[]", "{}", '{"global": []}', "<html>", '{"global": '])
async def test_what_is_no_ruleset_is_a_bad_answer(serve: Serve, body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    with pytest.raises(BadAnswer):
        await fetch_push_rules(await serve(answer))
