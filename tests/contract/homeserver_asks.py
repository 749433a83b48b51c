"""Requests to a homeserver over HTTP, good and bad, and how Synapse answers each."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from heliograph.core.events import Json
from heliograph.relay.wire.pusher import removal

V3 = "/_matrix/client/v3"
NOWHERE = "!nowhere:localhost"
URL_GOOD = "https://push.example.org/_matrix/push/v1/notify"
PUSHER: Json = {
    "kind": "http",
    "app_id": "org.example.app",
    "pushkey": "key",
    "app_display_name": "App",
    "device_display_name": "Device",
    "lang": "en",
    "data": {"url": URL_GOOD, "format": "event_id_only"},
    "append": True,
}
TOO_DEEP = b"[" * 60_000
"""Python gives up before its end, from 3.14 on after some thirty thousand; the relay would take it by its size."""


@dataclass
class Place:
    """A homeserver where the user is in `room`, and `event` came after `since`."""

    base_url: str
    token: str
    user_id: str
    device_id: str
    room: str
    event: str
    since: str
    foreign_room: str
    foreign_event: str

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


Outcome = tuple[int, str | None] | None
"""Status and error code of the refusal; None: it is answered."""
NO_TOKEN, WRONG_TOKEN = (401, "M_MISSING_TOKEN"), (401, "M_UNKNOWN_TOKEN")
UNKNOWN_PATH, WRONG_METHOD = (404, "M_UNRECOGNIZED"), (405, "M_UNRECOGNIZED")
BAD, NO_VALUE, NO_EVENT = (400, "M_UNKNOWN"), (400, "M_INVALID_PARAM"), (404, "M_NOT_FOUND")
MISSING, NOT_JSON, BAD_JSON = (400, "M_MISSING_PARAM"), (400, "M_NOT_JSON"), (400, "M_BAD_JSON")
WORDLESS = (500, "M_UNKNOWN")
"""Synapse trips over it."""


_transactions = itertools.count(1)


@dataclass(frozen=True)
class Ask:
    """A request. In `target` and the keys of `body`, ROOM, EVENT, USER and so on stand for those of the place."""

    target: str
    outcome: Outcome
    method: str = "GET"
    body: Any = None
    """JSON, or bytes."""
    headers: tuple[tuple[str, str], ...] | None = None
    """None: those of the user."""

    async def outcome_at(self, place: Place, session: aiohttp.ClientSession) -> Outcome:
        words = {
            "USER": place.user_id,
            "DEVICE": place.device_id,
            "TOKEN": place.token,
            "SINCE": place.since,
            "FOREIGN-ROOM": place.foreign_room,
            "FOREIGN-EVENT": place.foreign_event,
            "ROOM": place.room,
            "EVENT": place.event,
        }
        target, body = self.target, self.body
        text = "" if body is None or isinstance(body, bytes) else json.dumps(body)
        for word, value in words.items():
            target = target.replace(word, quote(value, safe=""))
            text = text.replace(f'"{word}"', json.dumps(value))
        headers = place.authorization if self.headers is None else dict(self.headers)
        async with session.request(
            self.method,
            URL(place.base_url + target, encoded=True),
            data=body if isinstance(body, bytes) else text.encode() or None,
            headers={"Content-Type": "application/json", **headers},
        ) as response:
            told = await response.read()
            if response.status == 200:
                return None
            is_json = response.content_type == "application/json"
            return response.status, json.loads(told)["errcode"] if is_json else None


def get(path: str, outcome: Outcome = None, **more: Any) -> Ask:
    return Ask(f"{V3}/{path}", outcome, **more)


def filtered(text: str, outcome: Outcome = None) -> Ask:
    return get(f"sync?timeout=0&filter={quote(text, safe='')}", outcome)


def set_pusher(outcome: Outcome = None, *, without: str = "", **changes: Any) -> Ask:
    body = {name: value for name, value in {**PUSHER, **changes}.items() if name != without}
    return Ask(f"{V3}/pushers/set", outcome, "POST", body)


def nudge(body: Any, outcome: Outcome = None, transaction: str | None = None) -> Ask:
    """Its transaction is its own, unless one is named."""
    transaction = str(next(_transactions)) if transaction is None else transaction
    return Ask(f"{V3}/sendToDevice/org.example.nudge/{transaction}", outcome, "PUT", body)


def to(devices: Any, user: str = "USER") -> Json:
    return {"messages": {user: devices}}


def each(words: str, make: Callable[[Any], Ask], *values: Any) -> dict[str, Ask]:
    """One of each value, which its name tells."""
    return {f"{words} {value!r}"[:70]: make(value) for value in values}


def header(text: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", text),)


ASKS: dict[str, Ask] = {
    "versions": Ask("/_matrix/client/versions", None),
    "versions for a stranger": Ask("/_matrix/client/versions", None, headers=()),
    "versions with a wrong token": Ask("/_matrix/client/versions", WRONG_TOKEN, headers=header("Bearer x")),
    "versions by POST": Ask("/_matrix/client/versions", WRONG_METHOD, "POST", {}),
    "whoami": get("account/whoami"),
    "whoami of before": Ask("/_matrix/client/r0/account/whoami", None),
    "whoami without a token": get("account/whoami", NO_TOKEN, headers=()),
    "whoami with a wrong token": get("account/whoami", WRONG_TOKEN, headers=header("Bearer nonsense")),
    "whoami with an empty token": get("account/whoami", NO_TOKEN, headers=header("Bearer ")),
    "whoami with two words": get("account/whoami", NO_TOKEN, headers=header("Bearer a b")),
    "whoami with a password": get("account/whoami", NO_TOKEN, headers=header("Basic eDp5")),
    "whoami with a token in the query": get("account/whoami?access_token=TOKEN", headers=()),
    "whoami with a wrong one in the query": get("account/whoami?access_token=x", WRONG_TOKEN, headers=()),
    "whoami with two tokens": get("account/whoami?access_token=TOKEN", NO_TOKEN),
    "whoami by POST": get("account/whoami", WRONG_METHOD, method="POST", body={}),
    "what there is not": get("nonsense", UNKNOWN_PATH),
    "what there is not, for a stranger": get("nonsense", UNKNOWN_PATH, headers=()),
    "what is not Matrix": Ask("/nonsense", (404, None)),
    **{
        f"notifications {query}": get(f"notifications?{query}")
        for query in ("", "limit=3", "limit=0", "limit=999999", "from=0", "only=highlight", "only=nonsense")
    },
    **{
        f"notifications {query}": get(f"notifications?{query}", NO_VALUE) for query in ("limit=-1", "limit=x", "limit=")
    },
    **{f"notifications {query}": get(f"notifications?{query}", BAD) for query in ("from=x", "from=", "from=SINCE")},
    "notifications for a stranger": get("notifications", NO_TOKEN, headers=()),
    "notifications by POST": get("notifications", WRONG_METHOD, method="POST", body={}),
    "pushers": get("pushers"),
    "pushers for a stranger": get("pushers", NO_TOKEN, headers=()),
    "pusher": set_pusher(),
    **{f"pusher without {name}": set_pusher(MISSING, without=name) for name in PUSHER if name != "append"},
    "pusher without append": set_pusher(without="append"),
    **each("pusher of kind", lambda kind: set_pusher(kind=kind), "direct", "nonsense", "", 7),
    "pusher of no kind": set_pusher(WORDLESS, kind={}),
    **each("pusher with app id", lambda value: set_pusher(app_id=value), 7, "", "a" * 65),
    **each("pusher with app id", lambda value: set_pusher(WORDLESS, app_id=value), None, {}, []),
    **each("pusher with pushkey", lambda value: set_pusher(pushkey=value), 7, "", "k" * 513, "a\0b"),
    **each("pusher with pushkey", lambda value: set_pusher(WORDLESS, pushkey=value), None, {}, "\ud800"),
    **each("pusher with name", lambda value: set_pusher(WORDLESS, app_display_name=value), None, {}),
    **each("pusher with lang", lambda value: set_pusher(lang=value), 7, None),
    **each("pusher with append", lambda value: set_pusher(append=value), "yes", 7, None),
    **each("pusher with data", lambda value: set_pusher(MISSING, data=value), {}, [], None, "x"),
    **each(
        "pusher with url",
        lambda url: set_pusher(MISSING, data={"url": url}),
        *(7, "push.example.org", "https://push.example.org/other"),
    ),
    **each(
        "pusher with url",
        lambda url: set_pusher(data={"url": url}),
        *(f"{URL_GOOD}?x=1", URL_GOOD.replace("https", "ftp"), "/_matrix/push/v1/notify"),
    ),
    "pusher of an odd format": set_pusher(data={"url": URL_GOOD, "format": "odd"}),
    "removing a pusher": Ask(f"{V3}/pushers/set", None, "POST", removal("org.example.app", "key")),
    "removing no pusher": Ask(f"{V3}/pushers/set", None, "POST", removal("none", "none")),
    "removing half a pusher": Ask(f"{V3}/pushers/set", MISSING, "POST", {"kind": None, "app_id": "x"}),
    "removing an odd pusher": Ask(f"{V3}/pushers/set", WORDLESS, "POST", {"kind": None, "app_id": 7, "pushkey": {}}),
    **{
        f"pusher that is {body[:20]!r}": Ask(f"{V3}/pushers/set", outcome, "POST", body)
        for outcome, bodies in (
            (NOT_JSON, (b"nonsense", b"", b'{"a":"\xff"}', b'{"a":NaN}', TOO_DEEP)),
            (BAD_JSON, (b"[]", b"7", b"null")),
            (MISSING, (b'{"kind":' + b"9" * 400 + b"}",)),
        )
        for body in bodies
    },
    "pusher that is very long": Ask(f"{V3}/pushers/set", MISSING, "POST", {"kind": "x" * 300_000}),
    "pusher by GET": get("pushers/set", WRONG_METHOD),
    "pusher of a stranger": Ask(f"{V3}/pushers/set", NO_TOKEN, "POST", PUSHER, headers=()),
    "nonsense of a wrong token": Ask(f"{V3}/pushers/set", WRONG_TOKEN, "POST", b"x", headers=header("Bearer x")),
    "nudge": nudge(to({"DEVICE": {}})),
    "nudge of all devices": nudge(to({"*": {}})),
    "nudge of no device": nudge(to({"NONE": {}})),
    "nudge of nobody": nudge({"messages": {}}),
    **{f"nudge of {user}": nudge(to({"X": {}}, user)) for user in ("@nobody:localhost", "nonsense")},
    "nudge with a fraction": nudge(to({"DEVICE": {"x": 1.5}})),
    "nudge that is too large": nudge(to({"DEVICE": {"x": "x" * 70_000}}), (413, "M_TOO_LARGE")),
    "nudge without messages": nudge({}, MISSING),
    **each("nudge with messages", lambda value: nudge({"messages": value}, WORDLESS), [], None),
    **each("nudge with devices", lambda value: nudge(to(value), WORDLESS), [], None),
    **each("nudge with content", lambda value: nudge(to({"DEVICE": value}), WORDLESS), "x", None, []),
    "nudge that is nonsense": nudge(b"x", NOT_JSON),
    "nudge that is a list": nudge([], BAD_JSON),
    "nudge, once": nudge(to({"DEVICE": {}}), transaction="again"),
    "nudge, once again with another body": nudge({}, transaction="again"),
    "nudge with an empty transaction": nudge(to({"DEVICE": {}}), transaction=""),
    "nudge without a transaction": Ask(f"{V3}/sendToDevice/org.example.nudge", UNKNOWN_PATH, "PUT", {}),
    "nudge by POST": Ask(f"{V3}/sendToDevice/org.example.nudge/1", WRONG_METHOD, "POST", {}),
    "nudge by a stranger": Ask(f"{V3}/sendToDevice/org.example.nudge/1", NO_TOKEN, "PUT", {}, headers=()),
    "event": get("rooms/ROOM/event/EVENT"),
    "event that is unknown": get("rooms/ROOM/event/$unknown", NO_EVENT),
    "event of another room": get("rooms/ROOM/event/FOREIGN-EVENT", NO_EVENT),
    "event that is not ours to see": get("rooms/FOREIGN-ROOM/event/FOREIGN-EVENT", NO_EVENT),
    "event of no room": get(f"rooms/{quote(NOWHERE, safe='')}/event/EVENT", NO_EVENT),
    "event of nonsense": get("rooms/nonsense/event/nonsense", NO_EVENT),
    "event of an empty id": get("rooms/ROOM/event/", NO_EVENT),
    "event with a slash": get("rooms/ROOM/event/%24a%2Fb", NO_EVENT),
    "event for a stranger": get("rooms/ROOM/event/EVENT", NO_TOKEN, headers=()),
    **{
        f"sync {query}": get(f"sync?{query}")
        for query in (
            *("timeout=0", "timeout=0&since=SINCE", "timeout=0&full_state=false", "timeout=0&set_presence=offline"),
            *("timeout=0&unknown=1", "timeout=0&timeout=x", "timeout=0&since=SINCE&since=nonsense"),
        )
    },
    **{f"sync since {token!r}": get(f"sync?timeout=0&since={token}", BAD) for token in ("nonsense", "", "s")},
    **{f"sync {ms!r} ms": get(f"sync?timeout={ms}", NO_VALUE) for ms in ("soon", "-1", "1.5", "")},
    "sync with a state that is not full": get("sync?timeout=0&full_state=maybe", NO_VALUE),
    "sync with an odd presence": get("sync?timeout=0&set_presence=odd", NO_VALUE),
    **{f"sync with filter {text}": filtered(text) for text in ("{}", '{"room":{"rooms":[]}}', '{"nonsense":7}')},
    **{f"sync with filter {text}": filtered(text, NO_VALUE) for text in ("0", "99", "nonsense", "[]")},
    **{
        f"sync with filter {text}": filtered(text, BAD)
        for text in ('{"room":{"rooms":["nonsense"]}}', '{"room":7}', '{"room":{"rooms":["!\u00e9:x"]}}')
    },
    "sync with half a filter": filtered("{broken", NOT_JSON),
    "sync of before": Ask("/_matrix/client/r0/sync?timeout=0", None),
    "sync of another version": Ask("/_matrix/client/v1/sync?timeout=0", UNKNOWN_PATH),
    "sync with a slash": get("sync/?timeout=0", UNKNOWN_PATH),
    "sync for a stranger": get("sync?timeout=0", NO_TOKEN, headers=()),
    "sync by POST": get("sync", WRONG_METHOD, method="POST", body={}),
}


async def outcomes_at(place: Place, asks: Mapping[str, Ask]) -> dict[str, Outcome]:
    """What each comes to there."""
    async with aiohttp.ClientSession() as session:
        return {name: await ask.outcome_at(place, session) for name, ask in asks.items()}


def expected(asks: Mapping[str, Ask]) -> dict[str, Outcome]:
    return {name: ask.outcome for name, ask in asks.items()}
