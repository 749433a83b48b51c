"""A homeserver that the soak plays: as much of the Client-Server API as the daemon asks in local mode, as it is asked.

Source: Client-Server API, sections "Syncing", "Listing Notifications", "Getting events for a room", "Key management
API", "Send-to-Device". A poll ends when something happens or when `end_polls` says that its time is over, since time is
the soak's to make.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from fakes.played_homeserver import PlayedHomeserver
from fakes.stream_token import read_place
from fakes.synapse_checks import check_key_upload, refused
from fakes.synapse_requests import (
    JOINED_MEMBERS,
    KEY_QUERY,
    KEY_UPLOAD,
    MESSAGES,
    NOTIFICATIONS,
    PUSH_RULES,
    READ_MARKERS,
    RECEIPT,
    STATE,
    SYNC,
    PlayedRequest,
    Route,
)
from heliograph.core.push.predefined import predefined_rules
from support.builders import ALICE, ME

DEVICE = "SOAK"
TOKEN = "soak-access-token"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. Its place in the stream, counted from 1, is the token that brings it."""

    kind: str
    """Part of the sync: "timeline", "ephemeral", "invite", "leave" or "to_device"."""
    room_id: str
    content: Json
    rings: bool = False
    ts: int = 0


class SoakHomeserver(PlayedHomeserver):
    """On one port for its life."""

    device_id, access_token = DEVICE, TOKEN
    routes = (
        *PlayedHomeserver.routes,
        *(SYNC, NOTIFICATIONS, MESSAGES, RECEIPT, READ_MARKERS),
        *(PUSH_RULES, JOINED_MEMBERS, STATE, KEY_UPLOAD, KEY_QUERY),
    )
    is_told_of_hanging_up = True

    def __init__(self) -> None:
        super().__init__()
        self.polls_at: int | None = None
        """The place in the stream after which a poll waits for news; None: there is none."""
        self.syncs = 0
        self.rung: list[str] = []
        """Event ids of all that ought to ring, in order."""
        self.device_keys: Json = {}
        self.one_time_keys: Json = {}
        self._stream: list[Entry] = []
        self._serial = itertools.count(1)
        self._news = asyncio.Event()
        self._poll_ends = 0
        self._now_ms = 1_700_000_000_000

    @property
    def place(self) -> int:
        """The end of the stream."""
        return len(self._stream)

    @property
    def is_awaited(self) -> bool:
        """Whether a poll waits that has everything there is: the daemon has committed it all."""
        return self.polls_at == self.place

    def end_polls(self) -> None:
        """Polls that wait have waited long enough."""
        self._poll_ends += 1
        self._news.set()

    def pass_time(self, now_ms: int) -> None:
        """Events are dated with it."""
        self._now_ms = now_ms

    # What happens

    def add_room(self, name: str, *, is_encrypted: bool = False) -> str:
        """A room with the user, Alice and three others, that no sync brings."""
        room_id = f"!room{next(self._serial)}:example.org"
        state = [("m.room.create", "", {"room_version": "11"}), ("m.room.name", "", {"name": name})]
        for user in (ME, ALICE, "@b:example.org", "@c:example.org", "@d:example.org"):
            state.append(("m.room.member", user, {"membership": "join", "displayname": user[1:2].upper()}))
        if is_encrypted:
            state.append(("m.room.encryption", "", {"algorithm": "m.megolm.v1.aes-sha2"}))
        self.state[room_id] = {
            (type_, key): self._event(type_, content, state_key=key) for type_, key, content in state
        }
        return room_id

    def send(self, room_id: str, type_: str, content: Json, *, rings: bool, **rest: Any) -> str:
        """An event by Alice, or whom `rest` names. Its id."""
        event = self._event(type_, content, **rest)
        if "state_key" in event:
            self.state[room_id][type_, event["state_key"]] = event
        return self._happen("timeline", room_id, event, rings=rings)

    def invite(self, name: str) -> tuple[str, str]:
        """Alice invites the user. The ids of the room and of the invite."""
        room_id = f"!room{next(self._serial)}:example.org"
        member = self._event("m.room.member", {"membership": "invite"}, state_key=ME)
        stripped = [
            {"type": "m.room.name", "state_key": "", "sender": ALICE, "content": {"name": name}},
            {key: member[key] for key in ("type", "state_key", "sender", "content", "event_id", "origin_server_ts")},
        ]
        self._happen("invite", room_id, {"invite_state": {"events": stripped}})
        return room_id, member["event_id"]

    def leave(self, room_id: str) -> None:
        """The user declined the invite elsewhere."""
        member = self._event("m.room.member", {"membership": "leave"}, state_key=ME, sender=ME)
        self._happen("leave", room_id, member)

    def read(self, room_id: str, event_id: str) -> None:
        """Another device of the user read up to this event."""
        content = {event_id: {"m.read": {ME: {"ts": self._now_ms}}}}
        self._happen("ephemeral", room_id, {"type": "m.receipt", "content": content})

    def send_to_device(self, type_: str, content: Json) -> None:
        self._happen("to_device", "", {"type": type_, "sender": ALICE, "content": content})

    def _event(self, type_: str, content: Json, **rest: Any) -> Json:
        event_id = f"$event{next(self._serial)}"
        head = {"event_id": event_id, "type": type_, "sender": ALICE, "origin_server_ts": self._now_ms}
        return {**head, "content": content, **rest}

    def _happen(self, kind: str, room_id: str, content: Json, *, rings: bool = False) -> str:
        self._stream.append(Entry(kind, room_id, content, rings, self._now_ms))
        event_id = str(content.get("event_id", ""))
        if rings:
            self.rung.append(event_id)
        self._news.set()
        return event_id

    # What is asked

    async def serve(self, route: Route, identifiers: list[str], request: PlayedRequest) -> web.StreamResponse:
        match route.name, identifiers:
            case NOTIFICATIONS.name, _:
                return self._notifications(request.word("from"), request.number("limit", 20))
            case MESSAGES.name, [room_id]:
                return self._messages(room_id, request.word("from") or "", request.number("limit", 10))
            case ((RECEIPT.name | READ_MARKERS.name), _):
                return web.json_response({})
            case KEY_UPLOAD.name, _:
                return self._take_keys(request.read_json())
            case KEY_QUERY.name, _:
                devices = {DEVICE: self.device_keys} if self.device_keys else {}
                return web.json_response({"device_keys": {ME: devices}, "failures": {}})
        return await self._sync(request)

    def _notifications(self, token: str | None, limit: int) -> web.Response:
        """Newest first; the token is the place in the stream before which it goes on."""
        end = self.place if token is None else read_place(token, "n")
        if end is None:
            raise refused(400, "M_UNKNOWN", "unrecognised token")
        listed: list[Json] = []
        while end > 0 and len(listed) < limit:
            end -= 1
            entry = self._stream[end]
            if entry.rings:
                item = {"room_id": entry.room_id, "event": entry.content, "ts": entry.ts, "read": False}
                listed.append({**item, "actions": ["notify"], "profile_tag": None})
        return web.json_response({"notifications": listed, **({"next_token": f"n{end}"} if end else {})})

    def _messages(self, room_id: str, token: str, limit: int) -> web.Response:
        if room_id not in self.state:
            raise refused(403, "M_FORBIDDEN", "User not in room")
        if (end := read_place(token, "p")) is None:
            raise refused(400, "M_UNKNOWN", "Invalid token")
        found: list[Json] = []
        while end > 0 and len(found) < limit:
            end -= 1
            entry = self._stream[end]
            if entry.kind == "timeline" and entry.room_id == room_id:
                found.append(entry.content)
        return web.json_response({"chunk": found, "start": token, **({"end": f"p{end}"} if end else {})})

    def _take_keys(self, keys: Json) -> web.Response:
        check_key_upload(keys, ME, DEVICE, self.one_time_keys)
        self.device_keys = keys.get("device_keys", self.device_keys)
        self.one_time_keys.update(keys.get("one_time_keys", {}))
        return web.json_response({"one_time_key_counts": {"signed_curve25519": len(self.one_time_keys)}})

    def claim_key(self) -> Json:
        """One of the device's one-time keys, which is used up by that."""
        key_id = next(iter(self.one_time_keys))
        return {key_id: self.one_time_keys.pop(key_id)}

    # The sync

    async def _sync(self, request: PlayedRequest) -> web.StreamResponse:
        self.syncs += 1
        token, timeout_ms = request.check_sync()
        if token is None:
            rules = {"type": "m.push_rules", "content": {"global": predefined_rules(ME)}}
            return web.json_response({"next_batch": f"s{self.place}", "account_data": {"events": [rules]}})
        if (since := read_place(token)) is None:
            raise refused(400, "M_UNKNOWN", "Invalid stream token")
        room = json.loads(request.word("filter") or "{}").get("room", {})
        if timeout_ms:
            await self._wait(since)
        body = self._body(since, int(room.get("timeline", {}).get("limit", 10)))
        with contextlib.suppress(ConnectionResetError):
            return web.json_response(body)
        raise asyncio.CancelledError

    async def _wait(self, since: int) -> None:
        ends = self._poll_ends
        while self.place == since and self._poll_ends == ends:
            self.polls_at = since
            self._news.clear()
            try:
                await self._news.wait()
            finally:
                self.polls_at = None

    def _body(self, since: int, limit: int) -> Json:
        new = self._stream[since:]
        rooms: dict[str, Json] = {"join": _joined(new, limit, since), "invite": {}, "leave": {}}
        for entry in new:
            if entry.kind == "invite":
                rooms["invite"][entry.room_id] = entry.content
            elif entry.kind == "leave":
                rooms["invite"].pop(entry.room_id, None)
                timeline = {"events": [entry.content], "limited": False, "prev_batch": f"p{since}"}
                rooms["leave"][entry.room_id] = {"timeline": timeline}
        counts = {"signed_curve25519": len(self.one_time_keys)}
        return {
            "next_batch": f"s{self.place}",
            "rooms": rooms,
            "to_device": {"events": [entry.content for entry in new if entry.kind == "to_device"]},
            "device_one_time_keys_count": counts,
            "device_unused_fallback_key_types": ["signed_curve25519"],
        }


def _joined(new: Sequence[Entry], limit: int, since: int) -> Json:
    rooms: dict[str, Json] = {}
    places: dict[str, list[int]] = {}
    for place, entry in enumerate(new, since):
        if entry.kind in ("timeline", "ephemeral"):
            room = rooms.setdefault(entry.room_id, {"timeline": {"events": []}, "ephemeral": {"events": []}})
            room[entry.kind]["events"].append(entry.content)
        if entry.kind == "timeline":
            places.setdefault(entry.room_id, []).append(place)
    for room_id, room in rooms.items():
        events, first = room["timeline"]["events"], places.get(room_id, [since])[-limit:][0]
        room["timeline"] = {"events": events[-limit:], "limited": len(events) > limit, "prev_batch": f"p{first}"}
    return rooms
