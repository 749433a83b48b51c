"""A homeserver with direct push (MSC3361), over real HTTP on loopback, for one signed-in device.

What it does, and where that comes from (MSC3361 leaves most of it open, so its meaning here is the relay's):

- GET /versions advertises `org.matrix.msc3361` in `unstable_features`.
- While the device has an enabled pusher of kind `direct`, every event that rings is listed in `notifications` of the
  /sync response that brings the event, in the form of GET /notifications.
- A request whose `since` is a `next_batch` that carried notifications acknowledges them. Those that are not
  acknowledged are attached to every later response: one may have been lost, or come too late.
- A response whose `next_batch` would be its `since` carries none, since it could not be acknowledged: it waits.
- The first sync of all carries none.
- To-device events are deleted when `since` has passed them, and not before (Client-Server API, "Send-to-Device").
- The timeline obeys `limit` and `types` of the filter, and is `limited` where it left something out.
- There is no sliding sync, no /messages and no /room_summary: 404 M_UNRECOGNIZED.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aiohttp import web

from fakes.played_homeserver import PlayedHomeserver
from fakes.stream_token import read_place
from fakes.synapse_checks import refused
from fakes.synapse_requests import (
    JOINED_MEMBERS,
    KEY_QUERY,
    NOTIFICATIONS,
    PUSH_RULES,
    STATE,
    SYNC,
    PlayedRequest,
    Route,
)
from heliograph.core.push.predefined import predefined_rules
from support.builders import ALICE, ME

DEVICE = "DIRECT"
TOKEN = "direct-access-token"
NOTIFY = ("notify", {"set_tweak": "sound", "value": "default"})
_TS = 1_700_000_000_000
_SLIDE_S = 0.05
"""How long a poll that is being answered waits for more, so that what a test does at once comes in one answer."""

Json = dict[str, Any]


class _Kind(Enum):
    EVENT = "event"
    INVITE = "invite"
    RECEIPT = "receipt"
    TO_DEVICE = "to-device"


@dataclass(frozen=True)
class _Entry:
    """One thing that happened. Its place in the stream, counted from 1, is the token that brings it."""

    kind: _Kind
    room_id: str
    content: Json


@dataclass(frozen=True)
class _Wanted:
    """The parts of a filter that this server obeys."""

    timeline_limit: int
    timeline_types: list[str] | None
    receipt_rooms: list[str] | None

    @classmethod
    def parse(cls, text: str) -> _Wanted:
        room = json.loads(text).get("room", {})
        timeline = room.get("timeline", {})
        return cls(
            timeline_limit=timeline.get("limit", 10),
            timeline_types=timeline.get("types"),
            receipt_rooms=room.get("ephemeral", {}).get("rooms"),
        )

    def lets_through(self, entry: _Entry) -> bool:
        match entry.kind:
            case _Kind.EVENT:
                return self.timeline_types is None or entry.content["type"] in self.timeline_types
            case _Kind.RECEIPT:
                return self.receipt_rooms is None or entry.room_id in self.receipt_rooms
        return True


class DirectHomeserver(PlayedHomeserver):
    """What is public may be changed by a test."""

    device_id, access_token = DEVICE, TOKEN
    routes = (*PlayedHomeserver.routes, SYNC, NOTIFICATIONS, PUSH_RULES, JOINED_MEMBERS, STATE, KEY_QUERY)

    def __init__(self, *, property_name: str = "notifications") -> None:
        super().__init__()
        self.property_name = property_name
        """Of the list in the /sync response: stable, or with MSC3361's prefix."""
        self.has_direct_push = True
        self.responses_to_lose = 0
        """So many responses that carry notifications will be cut off in their middle."""
        self.attached: Counter[str] = Counter()
        """How many responses carried the notification of an event, by event id."""
        self.takes_pushers = True
        self._serial = itertools.count(1)
        self._stream: list[_Entry] = []
        self._news = asyncio.Event()
        self._listed: dict[str, Json] = {}
        self._unacknowledged: dict[str, Json] = {}
        self._carried: dict[str, list[str]] = {}
        self._to_device_gone = 0

    # What happens

    def add_room(self, name: str) -> str:
        """A room with the user, Alice and two others, that no sync brings."""
        room_id = f"!room{next(self._serial)}:example.org"
        self.state[room_id] = {
            (event["type"], event["state_key"]): event
            for event in (
                self._event(room_id, "m.room.create", {"room_version": "11"}, state_key=""),
                self._event(room_id, "m.room.name", {"name": name}, state_key=""),
                *(
                    self._event(room_id, "m.room.member", {"membership": "join", "displayname": shown}, state_key=user)
                    for user, shown in ((ME, "Me"), (ALICE, "Alice"), ("@b:example.org", "B"), ("@c:example.org", "C"))
                ),
            )
        }
        return room_id

    def send(self, room_id: str, body: str, *, rings: bool = True, msgtype: str = "m.text") -> str:
        """A message by Alice. Whether it rings is the server's word alone. Returns its event id."""
        event = self._event(room_id, "m.room.message", {"msgtype": msgtype, "body": body})
        if rings:
            self._list(room_id, event)
        self._happen(_Entry(_Kind.EVENT, room_id, event))
        return str(event["event_id"])

    def invite(self, name: str, *, rings: bool = True) -> str:
        """Alice invites the user to a room of this name. Returns the room's id."""
        room_id = f"!room{next(self._serial)}:example.org"
        member = self._event(room_id, "m.room.member", {"membership": "invite"}, state_key=ME)
        if rings:
            self._list(room_id, member)
        stripped = [
            {"type": "m.room.name", "state_key": "", "sender": ALICE, "content": {"name": name}},
            {key: member[key] for key in ("type", "state_key", "sender", "content")},
        ]
        self._happen(_Entry(_Kind.INVITE, room_id, {"invite_state": {"events": stripped}}))
        return room_id

    def read(self, room_id: str, event_id: str) -> None:
        """Another device of the user read up to this event."""
        if event_id in self._listed:
            self._listed[event_id]["read"] = True
        content = {event_id: {"m.read": {ME: {"ts": _TS}}}}
        self._happen(_Entry(_Kind.RECEIPT, room_id, {"type": "m.receipt", "content": content}))

    def send_to_device(self, content: Json) -> None:
        event = {"type": "org.example.test", "sender": ALICE, "content": content}
        self._happen(_Entry(_Kind.TO_DEVICE, "", event))

    def forget_acknowledgements(self) -> None:
        """As after a crash that lost them: everything is attached once more."""
        self._carried.clear()
        self._unacknowledged = dict(self._listed)

    @property
    def is_all_acknowledged(self) -> bool:
        return not self._unacknowledged

    @property
    def has_direct_pusher(self) -> bool:
        return any(each["kind"] == "direct" and each.get("enabled", True) for each in self.pushers)

    def _event(self, room_id: str, type_: str, content: Json, state_key: str | None = None) -> Json:
        serial = next(self._serial)
        event = {
            "event_id": f"$event{serial}",
            "type": type_,
            "sender": ALICE,
            "origin_server_ts": _TS + serial,
            "content": content,
        }
        return event if state_key is None else {**event, "state_key": state_key}

    def _list(self, room_id: str, event: Json) -> None:
        listed = {
            "room_id": room_id,
            "event": event,
            "actions": list(NOTIFY),
            "ts": event["origin_server_ts"],
            "read": False,
            "profile_tag": None,
        }
        self._listed[event["event_id"]] = listed
        if self.has_direct_push and self.has_direct_pusher:
            self._unacknowledged[event["event_id"]] = listed

    def _happen(self, entry: _Entry) -> None:
        self._stream.append(entry)
        self._news.set()

    # What is asked

    @property
    def features(self) -> Json:
        return {"org.matrix.msc3361": True} if self.has_direct_push else {}

    async def serve(self, route: Route, identifiers: list[str], request: PlayedRequest) -> web.StreamResponse:
        match route.name:
            case NOTIFICATIONS.name:
                request.check_notifications()
                return web.json_response({"notifications": list(reversed(self._listed.values()))})
            case KEY_QUERY.name:
                return web.json_response({"device_keys": {}, "failures": {}})
        return await self._sync(request)

    def set_pusher(self, body: Json) -> None:
        if not self.takes_pushers:
            raise refused(403, "M_FORBIDDEN", "not here")
        super().set_pusher(body)

    # The sync

    async def _sync(self, request: PlayedRequest) -> web.StreamResponse:
        token, timeout_ms = request.check_sync()
        wanted = _Wanted.parse(request.word("filter") or "{}")
        if token is None:
            rules = {"type": "m.push_rules", "content": {"global": predefined_rules(ME)}}
            return web.json_response({"next_batch": f"s{len(self._stream)}", "account_data": {"events": [rules]}})
        if (since := read_place(token)) is None:
            raise refused(400, "M_UNKNOWN", "Invalid stream token")
        for event_id in self._carried.pop(token, ()):
            self._unacknowledged.pop(event_id, None)
        self._to_device_gone = max(self._to_device_gone, since)
        await self._wait(since, wanted, timeout_ms / 1000)
        return await self._respond(request.origin, self._body(since, wanted))

    async def _wait(self, since: int, wanted: _Wanted, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                while not any(wanted.lets_through(entry) for entry in self._stream[since:]):
                    self._news.clear()
                    await self._news.wait()
                await asyncio.sleep(_SLIDE_S)
        except TimeoutError:
            pass

    def _body(self, since: int, wanted: _Wanted) -> Json:
        entries = list(enumerate(self._stream[since:], since + 1))
        new = [entry for _, entry in entries if wanted.lets_through(entry)]
        body: Json = {
            "next_batch": f"s{len(self._stream)}",
            "rooms": {
                "join": self._joined(new, wanted.timeline_limit),
                "invite": {entry.room_id: entry.content for entry in new if entry.kind is _Kind.INVITE},
            },
            "to_device": {
                "events": [
                    entry.content
                    for position, entry in entries
                    if entry.kind is _Kind.TO_DEVICE and position > self._to_device_gone
                ]
            },
        }
        if self.has_direct_push and entries:
            body[self.property_name] = list(self._unacknowledged.values())
            self._carried[body["next_batch"]] = list(self._unacknowledged)
            self.attached.update(list(self._unacknowledged))
        return body

    def _joined(self, new: Sequence[_Entry], limit: int) -> Json:
        rooms: Json = {}
        for entry in new:
            room = rooms.setdefault(entry.room_id, {"timeline": {"events": []}, "ephemeral": {"events": []}})
            if entry.kind is _Kind.EVENT:
                room["timeline"]["events"].append(entry.content)
            elif entry.kind is _Kind.RECEIPT:
                room["ephemeral"]["events"].append(entry.content)
        joined = {room_id: room for room_id, room in rooms.items() if room_id in self.state}
        for room in joined.values():
            events = room["timeline"]["events"]
            room["timeline"] = {"events": events[-limit:], "limited": len(events) > limit, "prev_batch": "p"}
        return joined

    async def _respond(self, request: web.BaseRequest, body: Json) -> web.StreamResponse:
        text = json.dumps(body).encode()
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(text))})
        with contextlib.suppress(ConnectionResetError):  # the client was killed meanwhile
            await response.prepare(request)
            if self.responses_to_lose and body.get(self.property_name):
                self.responses_to_lose -= 1
                await response.write(text[: len(text) // 2])
                if request.transport is not None:
                    request.transport.abort()
                return response
            await response.write(text)
            await response.write_eof()
        return response
