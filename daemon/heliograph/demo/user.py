"""Acts as a user of the throwaway homeserver: sends messages, reads, joins and leaves."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import field
from typing import Any, Literal
from urllib.parse import quote

import aiohttp

from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.value_type import value_type
from heliograph.errors import Refused, Unreachable

_serial = itertools.count(1)


async def request(
    method: str,
    url: str,
    body: object = None,
    *,
    token: str | None = None,
    params: dict[str, str] | None = None,
    seconds: float = 30,
) -> Any:
    """Makes one JSON request within `seconds`, on a connection of its own, so that users outlive event loops.

    Raises Refused for an error status, and Unreachable if no whole answer came.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds), headers=headers) as session,
            session.request(method, url, json=body, params=params) as response,
        ):
            answer = json.loads(await response.read())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unreachable(f"{method} {url} was not answered: {error!r}") from error
    if response.status >= 400:
        told = answer if isinstance(answer, dict) else {}
        raise Refused(response.status, str(told.get("errcode", "")), str(told.get("error", "")))
    return answer


@value_type
class DemoUser:
    """One signed-in device of a user. Room and event ids may be given as plain text."""

    base_url: str
    user_id: UserId
    device_id: str
    access_token: str = field(repr=False)
    password: str = field(repr=False)

    async def call(self, method: str, path: str, json: object = None, **params: str) -> Any:
        """Makes a request. `path` is what follows `/_matrix/client/v3`, or begins with `/_` for another API. Raises
        Refused and Unreachable."""
        url = self.base_url + (path if path.startswith("/_") else f"/_matrix/client/v3{path}")
        if json is None and method not in {"GET", "HEAD"}:
            # Synapse refuses a request without a body where it expects JSON.
            json = {}
        return await request(method, url, json, token=self.access_token, params=params)

    async def login_again(self, device_name: str = "Another device") -> DemoUser:
        """Signs the same user in on a new device."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.user_id},
            "password": self.password,
            "initial_device_display_name": device_name,
        }
        answer = await self.call("POST", "/login", body)
        return DemoUser(self.base_url, self.user_id, answer["device_id"], answer["access_token"], self.password)

    async def logout(self) -> None:
        await self.call("POST", "/logout")

    async def set_display_name(self, name: str) -> None:
        await self.call("PUT", f"/profile/{_q(self.user_id)}/displayname", {"displayname": name})

    async def create_room(
        self,
        name: str | None = None,
        invite: Sequence[DemoUser | str] = (),
        is_direct: bool = False,
        preset: str = "private_chat",
        **options: object,
    ) -> RoomId:
        """Creates a room and returns its id. `options` are further properties of POST /createRoom."""
        invited = [user if isinstance(user, str) else user.user_id for user in invite]
        body: dict[str, object] = {"invite": invited, "is_direct": is_direct, "preset": preset, **options}
        if name is not None:
            body["name"] = name
        return RoomId((await self.call("POST", "/createRoom", body))["room_id"])

    async def join(self, room: str) -> None:
        await self.call("POST", f"/join/{_q(room)}")

    async def leave(self, room: str) -> None:
        await self.call("POST", f"/rooms/{_q(room)}/leave")

    async def invite(self, room: str, user: DemoUser | str) -> None:
        await self._about("invite", room, user)

    async def kick(self, room: str, user: DemoUser | str) -> None:
        await self._about("kick", room, user)

    async def _about(self, verb: str, room: str, user: DemoUser | str) -> None:
        user_id = user if isinstance(user, str) else user.user_id
        await self.call("POST", f"/rooms/{_q(room)}/{verb}", {"user_id": user_id})

    async def send_event(self, room: str, type: str, content: dict[str, Any]) -> EventId:
        """Sends a message event and returns its id."""
        path = f"/rooms/{_q(room)}/send/{_q(type)}/demo{next(_serial)}"
        return EventId((await self.call("PUT", path, content))["event_id"])

    async def send_state(self, room: str, type: str, content: dict[str, Any], state_key: str = "") -> EventId:
        path = f"/rooms/{_q(room)}/state/{_q(type)}/{_q(state_key)}"
        return EventId((await self.call("PUT", path, content))["event_id"])

    async def send_text(
        self, room: str, body: str, mentions: Sequence[DemoUser | str] = (), *, thread: str | None = None
    ) -> EventId:
        """Sends a text message; `mentions` become `m.mentions`, `thread` is the root of a thread."""
        content: dict[str, Any] = {"msgtype": "m.text", "body": body}
        if mentions:
            content["m.mentions"] = {"user_ids": [u if isinstance(u, str) else u.user_id for u in mentions]}
        if thread is not None:
            content["m.relates_to"] = {"rel_type": "m.thread", "event_id": thread}
        return await self.send_event(room, "m.room.message", content)

    async def edit(self, room: str, event: str, body: str, *, mentions: Sequence[DemoUser] = ()) -> EventId:
        text: dict[str, object] = {"msgtype": "m.text", "body": body}
        if mentions:
            text["m.mentions"] = {"user_ids": [user.user_id for user in mentions]}
        relation = {"rel_type": "m.replace", "event_id": event}
        content = {**text, "body": f"* {body}", "m.new_content": text, "m.relates_to": relation}
        return await self.send_event(room, "m.room.message", content)

    async def react(self, room: str, event: str, key: str = "👍") -> EventId:
        content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": key}}
        return await self.send_event(room, "m.reaction", content)

    async def redact(self, room: str, event: str) -> EventId:
        path = f"/rooms/{_q(room)}/redact/{_q(event)}/demo{next(_serial)}"
        return EventId((await self.call("PUT", path))["event_id"])

    async def read(
        self,
        room: str,
        event: str,
        kind: Literal["m.read", "m.read.private", "m.fully_read"] = "m.read",
        thread_id: str | None = None,
    ) -> None:
        """Sends a receipt; `thread_id` None: for all threads."""
        body = {} if thread_id is None else {"thread_id": thread_id}
        await self.call("POST", f"/rooms/{_q(room)}/receipt/{kind}/{_q(event)}", body)

    async def rename(self, room: str, name: str) -> None:
        await self.send_state(room, "m.room.name", {"name": name})

    async def set_push_rule(self, kind: str, rule_id: str, rule: dict[str, Any]) -> None:
        """Sets a push rule. `rule` has `actions`, and `conditions` or `pattern` if the kind wants them."""
        await self.call("PUT", f"/pushrules/global/{kind}/{_q(rule_id)}", rule)

    async def mute(self, room: str) -> None:
        """Mutes a room by the override rule that clients write."""
        condition = {"kind": "event_match", "key": "room_id", "pattern": room}
        await self.set_push_rule("override", room, {"conditions": [condition], "actions": []})

    async def set_account_data(self, type: str, content: dict[str, Any]) -> None:
        await self.call("PUT", f"/user/{_q(self.user_id)}/account_data/{_q(type)}", content)


def _q(text: str) -> str:
    return quote(text, safe="")
