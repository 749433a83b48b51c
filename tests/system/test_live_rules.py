"""On a real homeserver: what rings here is what GET /notifications lists, for every predefined rule, rule and mute.

Three users hear the same 500 events: one with keywords and mutes, one for whom rooms and other rules ring, and one who
has switched everything off.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from conftest import NewUser
from edges.cli.conftest import Shell
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account
from heliograph.core.push.verdict import verdict_of
from heliograph.core.sync.judging import SERVER_RULE
from heliograph.core.sync.relations import EDITED
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.rule_builders import match
from support.waiting import until
from system.daemon import Daemon, account_folder, sign_in

COUNT = 500
BATCH = 40
"""Events at once: in no room more than a sync's timeline holds, since of a gap the homeserver tells what rings."""

PREDEFINED = {
    *("master", "suppress_notices", "invite_for_me", "member_event", "is_user_mention", "contains_display_name"),
    *("is_room_mention", "roomnotif", "tombstone", "reaction", "room.server_acl", "suppress_edits"),
    *("contains_user_name", "call", "room_one_to_one", "message"),
}
"""All that Synapse has but those for encrypted events; and its own, for Jitsi."""


_GONE = (None, "withdrawn", "cancelled")
"""States of deliveries of which the ledger has forgotten how they rang; None: it has forgotten all."""


@dataclass
class Listener:
    """A user whose Heliograph is compared with the homeserver."""

    user: DemoUser
    account: Account
    earlier: frozenset[str] = frozenset()
    """Rooms that the user was invited to before Heliograph ran."""
    rings: dict[str, tuple[bool, str | None] | None] = field(default_factory=dict)
    """What rang here: highlight and sound by event id, or by room id for an invite. None: read since, or read or edited
    in the same sync, so that the ledger does not say how."""
    rules: dict[str, str | None] = field(default_factory=dict)
    """Which rule decided, of all that was judged."""

    def look(self) -> None:
        """Reads the ledger."""
        with closing(sqlite3.connect(account_folder(self.account) / "ledger.db")) as db:
            rows = db.execute(
                "SELECT event_id, rule, decision, reason, state, is_highlight, sound"
                " FROM judged LEFT JOIN deliveries USING (event_id)"
            ).fetchall()
        self.rings, self.rules = {}, {}
        for event_id, rule, decision, reason, state, is_highlight, sound in rows:
            name = event_id.removeprefix("invite:").removesuffix(":0")
            self.rules[name] = rule
            if decision == "ring":
                self.rings[name] = None if state in _GONE else (bool(is_highlight), sound)
            elif reason in ("read elsewhere", EDITED):
                self.rings[name] = None

    def as_listed(self, listed: Mapping[str, tuple[bool, str | None]]) -> dict[str, tuple[bool, str | None] | None]:
        """What rang here; how what is withdrawn since rang, is taken from the homeserver's list."""
        return {name: listed.get(name) if told is None else told for name, told in self.rings.items()}

    async def listed(self) -> dict[str, tuple[bool, str | None]]:
        """What the homeserver lists, in the same form; without invites to where it all happens, which came before."""
        listed: dict[str, tuple[bool, str | None]] = {}
        token: dict[str, str] = {}
        while True:
            page = await self.user.call("GET", "/notifications", limit="100", **token)
            for item in page["notifications"]:
                event, verdict = item["event"], verdict_of(item["actions"])
                name = item["room_id"] if event.get("state_key") == self.user.user_id else event["event_id"]
                listed[name] = (verdict.highlight, verdict.sound)
            if not page.get("next_token"):
                return {name: how for name, how in listed.items() if name not in self.earlier}
            token = {"from": page["next_token"]}


@dataclass
class Rooms:
    """Where it happens. Alice made all of them and may do everything; Bob may notify rooms; Carol may not."""

    group: str
    muted: str
    mentions_only: str
    loud: str
    shrinking: str
    direct: dict[str, str]
    """With Alice alone, by user."""

    @property
    def all(self) -> list[str]:
        return [self.group, self.muted, self.mentions_only, self.loud, self.shrinking, *self.direct.values()]

    @property
    def common(self) -> list[str]:
        return [self.group, self.group, self.muted, self.mentions_only, self.loud]


class Crowd:
    """Says all kinds of things. The same each time, so that a failure comes again."""

    def __init__(
        self, alice: DemoUser, bob: DemoUser, carol: DemoUser, listeners: list[Listener], rooms: Rooms
    ) -> None:
        self.alice, self.bob, self.carol = alice, bob, carol
        self._listeners = listeners
        self._rooms = rooms
        self._random = Random(3361)
        self._said: dict[str, list[str]] = {room: [] for room in rooms.all}
        self._serial = itertools.count()

    async def begin(self) -> None:
        """Something in each room that may be answered."""
        for room in self._rooms.all:
            await self._say(self.alice, room, "m.room.message", {"msgtype": "m.text", "body": "hello"})

    def something(self) -> Awaitable[Any]:
        """One event."""
        kinds: dict[Callable[[], Awaitable[Any]], int] = {
            self._message: 14, self._mention: 6, self._room_mention: 5, self._edit: 6, self._reaction: 5,
            self._notice: 5, self._poll: 3, self._tombstone: 2, self._server_acl: 2, self._invite: 2, self._call: 4,
            self._thread: 5, self._reply: 3, self._topic: 2, self._jitsi: 2, self._sticker: 2, self._own: 3,
            self._custom: 2,
        }  # fmt: skip
        (kind,) = self._random.choices(list(kinds), list(kinds.values()))
        return kind()

    def _who(self) -> DemoUser:
        return self._random.choice([self.alice, self.bob, self.bob, self.carol])

    def _listener(self) -> DemoUser:
        return self._random.choice(self._listeners).user

    def _where(self, who: DemoUser) -> str:
        return self._random.choice(self._rooms.all if who is self.alice else self._rooms.common)

    def _text(self) -> str:
        localpart = self._listener().user_id.partition(":")[0][1:]
        return self._random.choice(
            [
                *("hello", "is it lunchtime?", "LUNCH!", "deploying now", "redeploy", "Pepper, look", "pepperoni", ""),
                *("hello everybody", f"{localpart}: hi", f"x{localpart}", "@room hello", "line\none lunch"),
            ]
        )

    async def _say(self, who: DemoUser, where: str, type_: str, content: dict[str, Any]) -> str:
        event_id = await who.send_event(where, type_, content)
        self._said[where].append(event_id)
        return event_id

    def _message(self, **more: Any) -> Awaitable[Any]:
        who = self._who()
        content = {"msgtype": "m.text", "body": self._text(), **more}
        if self._random.random() < 0.3:
            content["m.mentions"] = {}
        return self._say(who, self._where(who), "m.room.message", content)

    def _mention(self) -> Awaitable[Any]:
        return self._message(**{"m.mentions": {"user_ids": [self._listener().user_id]}})

    def _room_mention(self) -> Awaitable[Any]:
        return self._message(**{"m.mentions": {"room": self._random.choice([True, True, False])}})

    def _related(self, who: DemoUser) -> tuple[str, str]:
        where = self._where(who)
        return where, self._random.choice(self._said[where])

    def _edit(self) -> Awaitable[Any]:
        who = self._who()
        where, event_id = self._related(who)
        text = {"msgtype": "m.text", "body": self._text()}
        relation = {"rel_type": "m.replace", "event_id": event_id}
        content = {**text, "m.new_content": text, "m.relates_to": relation}
        if self._random.random() < 0.4:
            content["m.mentions"] = {"user_ids": [self._listener().user_id]}
        return who.send_event(where, "m.room.message", content)

    def _reaction(self) -> Awaitable[Any]:
        who = self._who()
        where, event_id = self._related(who)
        key = f"👍{next(self._serial)}"
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return who.send_event(where, "m.reaction", {"m.relates_to": relation})

    def _notice(self) -> Awaitable[Any]:
        mentions = {"m.mentions": {"user_ids": [self._listener().user_id]}} if self._random.random() < 0.4 else {}
        return self._message(msgtype="m.notice", **mentions)

    def _thread(self) -> Awaitable[Any]:
        who = self._who()
        where, event_id = self._related(who)
        relation = {"rel_type": "m.thread", "event_id": event_id, "is_falling_back": True}
        content = {"msgtype": "m.text", "body": self._text(), "m.relates_to": relation}
        return who.send_event(where, "m.room.message", content)

    def _reply(self) -> Awaitable[Any]:
        who = self._who()
        where, event_id = self._related(who)
        relation = {"m.in_reply_to": {"event_id": event_id}}
        content = {"msgtype": "m.text", "body": f"> lunch\n\n{self._text()}", "m.relates_to": relation}
        return who.send_event(where, "m.room.message", content)

    def _poll(self) -> Awaitable[Any]:
        who = self._who()
        name = self._random.choice(["m.poll.start", "org.matrix.msc3381.poll.start"])
        return who.send_event(self._where(who), name, {name: {"question": {"body": "lunch?"}}, "body": self._text()})

    def _call(self) -> Awaitable[Any]:
        who = self._who()
        content = {"call_id": str(next(self._serial)), "version": 0, "lifetime": 300_000, "offer": {"type": "offer"}}
        return who.send_event(self._where(who), "m.call.invite", content)

    def _sticker(self) -> Awaitable[Any]:
        who = self._who()
        return who.send_event(self._where(who), "m.sticker", {"body": self._text(), "url": "mxc://x/y", "info": {}})

    def _custom(self) -> Awaitable[Any]:
        who = self._who()
        return who.send_event(
            self._where(who), "org.example.custom", {"status": self._random.choice(["alarm", "calm"])}
        )

    def _own(self) -> Awaitable[Any]:
        listener = self._listener()
        return listener.send_text(self._random.choice(self._rooms.common), self._text())

    # State, by Alice

    def _tombstone(self) -> Awaitable[Any]:
        content = {"body": f"moved {next(self._serial)}", "replacement_room": "!elsewhere:localhost"}
        return self.alice.send_state(self._random.choice(self._rooms.common), "m.room.tombstone", content)

    def _server_acl(self) -> Awaitable[Any]:
        content = {"allow": ["*"], "deny": [f"evil{next(self._serial)}.example.org"]}
        return self.alice.send_state(self._random.choice(self._rooms.common), "m.room.server_acl", content)

    def _topic(self) -> Awaitable[Any]:
        topic = {"topic": f"lunch {next(self._serial)}"}
        return self.alice.send_state(self._random.choice(self._rooms.common), "m.room.topic", topic)

    def _jitsi(self) -> Awaitable[Any]:
        content = {"type": self._random.choice(["jitsi", "jitsi", "clock"]), "url": f"https://x/{next(self._serial)}"}
        where = self._random.choice(self._rooms.common)
        return self.alice.send_state(where, "im.vector.modular.widgets", content, str(next(self._serial)))

    def member_event(self) -> Awaitable[Any]:
        """To be waited for: Synapse refuses what the same member says while it changes."""
        content = {"membership": "join", "displayname": f"Carol {next(self._serial)}"}
        where = self._random.choice(self._rooms.common)
        return self.carol.send_state(where, "m.room.member", content, self.carol.user_id)

    def _invite(self) -> Awaitable[Any]:
        invited = [listener.user for listener in self._listeners]
        return self._who().create_room(f"Harbour {next(self._serial)}", invite=invited)


@dataclass
class Stage:
    crowd: Crowd
    rooms: Rooms
    quiet: Listener
    loud: Listener
    off: Listener

    @property
    def listeners(self) -> list[Listener]:
        return [self.quiet, self.loud, self.off]

    async def settle(self) -> None:
        """Returns when all that was sent before has been judged."""
        probes = {
            listener.user.user_id: await self.crowd.alice.send_text(self.rooms.direct[listener.user.user_id], "lunch")
            for listener in self.listeners
        }

        def is_judged() -> bool:
            for listener in self.listeners:
                listener.look()
            return all(probes[listener.user.user_id] in listener.rules for listener in self.listeners)

        await until(is_judged, "the verdicts on what was sent", seconds=30)


def rules(listener: Listener, *words: str) -> None:
    result = Shell().run("rules", *words, "--account", listener.account.user_id)
    assert result.exit_code == 0, result.output


def set_own_rules(stage: Stage) -> None:
    """As users do with `heliograph rules`."""
    rules(stage.quiet, "keyword", "add", "lunch", "--sound", "default", "--highlight")
    rules(stage.quiet, "keyword", "add", "deploy*")
    rules(stage.quiet, "mute", stage.rooms.muted)
    rules(stage.quiet, "mentions-only", stage.rooms.mentions_only)
    rules(stage.quiet, "mute-user", stage.crowd.carol.user_id)
    rules(stage.loud, "disable", "override/.m.rule.suppress_edits")
    rules(stage.off, "enable", "override/.m.rule.master")


async def set_rules_elsewhere(stage: Stage) -> None:
    """As other clients may."""
    user = stage.loud.user
    actions = ["notify", {"set_tweak": "sound", "value": "bell"}, {"set_tweak": "highlight"}]
    alarm = [{"kind": "event_property_is", "key": "content.status", "value": "alarm"}]
    crowded = [{"kind": "room_member_count", "is": ">3"}, match("content.body", "hel?o")]
    await user.set_push_rule("room", stage.rooms.loud, {"actions": actions})
    await user.set_push_rule("override", "alarm", {"conditions": alarm, "actions": actions})
    await user.set_push_rule("underride", "crowded", {"conditions": crowded, "actions": actions})
    await user.set_push_rule("sender", stage.crowd.bob.user_id, {"actions": []})
    await user.call("PUT", "/pushrules/global/underride/.m.rule.message/actions", {"actions": []})


@pytest.fixture
async def stage(new_user: NewUser) -> Stage:
    alice, bob, carol = [await new_user(name) for name in ("alice", "bob", "carol")]
    listeners = []
    for name in ("quiet", "loud", "off"):
        user = await new_user(name)
        listeners.append(Listener(user, await sign_in(user)))
    everybody = [bob, carol, *(listener.user for listener in listeners)]
    powers = {"power_level_content_override": {"users": {bob.user_id: 50}}}

    async def room(name: str, users: list[DemoUser], **options: Any) -> str:
        room_id = await alice.create_room(name, invite=users, **options)
        for user in users:
            await user.join(room_id)
        return room_id

    quiet, loud, off = listeners
    rooms = Rooms(
        group=await room("Group", everybody, **powers),
        muted=await room("Muted", everybody, **powers),
        mentions_only=await room("Mentions only", everybody, **powers),
        loud=await room("Loud", everybody, **powers),
        shrinking=await room("Shrinking", [carol, quiet.user]),
        direct={listener.user.user_id: await room("Direct", [listener.user], is_direct=True) for listener in listeners},
    )
    for listener in listeners:
        listener.earlier = frozenset(await listener.listed())
    return Stage(Crowd(alice, bob, carol, listeners, rooms), rooms, quiet, loud, off)


async def hear(stage: Stage, bus: PrivateBus) -> None:
    """The daemon runs while everything is said."""
    screen = NotificationServer(bus.address)
    await screen.start()
    async with Daemon() as daemon:
        await until(lambda: daemon.log.count("is connected to") == 3, "the connections of all three")
        for listener in stage.listeners:
            await listener.user.set_display_name("Pepper")
        await stage.crowd.begin()
        await stage.settle()
        for start in range(0, COUNT, BATCH):
            if start == 6 * BATCH:
                await stage.crowd.carol.leave(stage.rooms.shrinking)
                await stage.quiet.user.set_display_name("Salt")
                await stage.settle()
            await stage.crowd.member_event()
            await asyncio.gather(*[stage.crowd.something() for _ in range(1, min(BATCH, COUNT - start))])
            await stage.settle()
        assert await daemon.stop() == 0
    await screen.stop()


def test_what_rings_is_what_the_homeserver_lists(stage: Stage, private_bus: PrivateBus) -> None:
    set_own_rules(stage)
    asyncio.run(set_rules_elsewhere(stage))
    asyncio.run(hear(stage, private_bus))

    for listener in (stage.quiet, stage.off):
        listed = asyncio.run(listener.listed())
        assert listener.as_listed(listed) == listed
    listed = asyncio.run(stage.loud.listed())
    # Synapse passes over `sender` rules (docs/push-rules.md).
    named = {name for name, rule in stage.loud.rules.items() if (rule or "").startswith("sender/")}
    assert stage.loud.as_listed(listed) == {name: listed[name] for name in listed if name not in named}
    for listener in (stage.quiet, stage.loud):
        # What the user wrote elsewhere reads some of them.
        assert sum(told is not None for told in listener.rings.values()) > 60
    assert named & listed.keys()

    assert len(stage.quiet.rings) > 60
    assert len(stage.loud.rings) > 60
    assert not stage.off.rings
    decided = {rule for listener in stage.listeners for rule in listener.rules.values() if rule is not None}
    assert SERVER_RULE not in decided
    assert {rule.rpartition(".m.rule.")[2] for rule in decided if ".m.rule." in rule} == PREDEFINED
    own = {
        "content/lunch", "content/deploy*", f"override/{stage.rooms.muted}", f"room/{stage.rooms.mentions_only}",
        f"room/{stage.rooms.loud}", "override/alarm", "underride/crowded", f"sender/{stage.crowd.bob.user_id}",
        "underride/.im.vector.jitsi",
    }  # fmt: skip
    assert own <= decided, own - decided
    assert any(stage.crowd.carol.user_id in rule for rule in decided)

    for listener in (stage.quiet, stage.loud):
        for event_id in [name for name in listener.rules if name.startswith("$")][::20]:
            result = Shell().run("explain", event_id, "--account", listener.account.user_id, "--json")
            told = json.loads(result.stdout)
            if listener.rings.get(event_id, ()) is not None:
                assert told["rings"] == (event_id in listener.rings)
            assert told["ledger"]["rule"] == listener.rules[event_id]
