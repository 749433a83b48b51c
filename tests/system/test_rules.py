"""`heliograph rules` against a real homeserver: what GET /pushrules, our verdict and the server's say afterwards."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from conftest import NewUser
from edges.cli.conftest import Shell
from fakes.notification_server import NotificationServer
from heliograph.core.push.context import Context
from heliograph.core.push.rules import Ruleset
from heliograph.core.push.verdict import Verdict
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.waiting import until
from system.daemon import Daemon, sign_in


@dataclass
class Stage:
    """Heliograph has signed in for `me`, who also has another client, and is in a room with Alice and Bob."""

    me: DemoUser
    other_client: DemoUser
    alice: DemoUser
    bob: DemoUser
    room: str

    def rules(self, *words: str) -> str:
        """What the command printed, which must have succeeded."""
        result = Shell().run("rules", *words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *words: str) -> list[str]:
        result = Shell().run("rules", *words)
        assert result.exit_code in (1, 2)
        lines = result.stderr.splitlines()
        assert [line.split(":")[0] for line in lines] == ["Error", "Try"]
        return lines

    def seen(self) -> dict[str, Any]:
        """The rules as the user's other client sees them."""
        answer = asyncio.run(self.other_client.call("GET", "/pushrules/"))
        return dict(answer["global"])

    def own(self) -> dict[str, list[str]]:
        """Ids of the user's own rules by kind, as the other client sees them."""
        own = {kind: [rule["rule_id"] for rule in rules if not rule["default"]] for kind, rules in self.seen().items()}
        return {kind: rule_ids for kind, rule_ids in own.items() if rule_ids}

    def verdict(self, body: str = "hello", *, sender: DemoUser | None = None, mentions: bool = False) -> Verdict:
        """Of a message that is really sent. The homeserver's own verdict must be the same."""
        sender = sender or self.alice
        event_id = asyncio.run(sender.send_text(self.room, body, [self.me] if mentions else ()))
        event = asyncio.run(self.me.call("GET", f"/rooms/{self.room}/event/{event_id}"))
        context = Context(self.me.user_id, display_name="nobody", member_count=3, power_levels={})
        verdict = Ruleset.parse(self.seen()).judge({**event, "room_id": self.room}, context)
        listed = asyncio.run(self.me.call("GET", "/notifications"))["notifications"]
        assert (event_id in {item["event"]["event_id"] for item in listed}) is verdict.notify
        return verdict

    def rings(self, body: str = "hello", *, sender: DemoUser | None = None, mentions: bool = False) -> bool:
        return self.verdict(body, sender=sender, mentions=mentions).notify


@pytest.fixture
async def stage(new_user: NewUser) -> Stage:
    me, alice, bob = await new_user("me"), await new_user("alice"), await new_user("bob")
    room = await alice.create_room("Lunch", invite=[me, bob])
    await me.join(room)
    await bob.join(room)
    await sign_in(me)
    return Stage(me, await me.login_again("Phone"), alice, bob, room)


def test_a_muted_room_is_silent_to_mentions_too_until_it_is_unmuted(stage: Stage) -> None:
    assert stage.rules("mute", stage.room) == f"{stage.room} is muted.\n"
    condition = {"kind": "event_match", "key": "room_id", "pattern": stage.room}
    first = stage.seen()["override"][1]
    assert (first["rule_id"], first["enabled"], first["conditions"], first["actions"]) == (
        stage.room,
        True,
        [condition],
        [],
    )
    assert not stage.rings()
    assert not stage.rings(mentions=True)

    assert stage.rules("mute", stage.room) == f"Nothing to do: {stage.room} is muted.\n"
    stage.rules("unmute", stage.room)
    assert stage.own() == {}
    assert stage.rings()
    assert stage.rules("unmute", stage.room) == f"Nothing to do: {stage.room} is not muted.\n"


def test_of_a_room_with_mentions_only_the_rest_is_silent(stage: Stage) -> None:
    stage.rules("mute", stage.room)
    stage.rules("mentions-only", stage.room)
    assert stage.own() == {"room": [stage.room]}
    assert not stage.rings()
    assert stage.rings(mentions=True)
    stage.rules("keyword", "add", "lunch")
    assert stage.rings("lunch?")

    stage.rules("mute", stage.room)
    assert not stage.rings("lunch?")
    stage.rules("unmute", stage.room)
    assert stage.own() == {"content": ["lunch"]}
    assert stage.rings()


def test_what_another_client_muted_is_unmuted(stage: Stage) -> None:
    asyncio.run(stage.other_client.mute(stage.room))
    assert (stage.rules("mute", stage.room)).startswith("Nothing to do")
    stage.rules("unmute", stage.room)
    assert stage.rings()


def test_a_keyword_rings_as_it_was_told_to(stage: Stage) -> None:
    stage.rules("mentions-only", stage.room)
    stage.rules("keyword", "add", "code/review")
    assert stage.own() == {"room": [stage.room], "content": ["code_review"]}
    verdict = stage.verdict("a Code/Review, please")
    assert (verdict.notify, verdict.highlight, verdict.sound) == (True, False, None)

    stage.rules("keyword", "add", "Code/Review", "--sound", "ring", "--highlight")
    verdict = stage.verdict("a code/review, please")
    assert (verdict.notify, verdict.highlight, verdict.sound) == (True, True, "ring")
    assert not stage.rings("a code review")

    stage.rules("keyword", "remove", "CODE/REVIEW")
    assert stage.own() == {"room": [stage.room]}
    assert (stage.rules("keyword", "remove", "code/review")).startswith("Nothing to do")


def test_a_muted_user_is_silent_and_others_are_not(stage: Stage) -> None:
    stage.rules("mute-user", stage.alice.user_id)
    assert not stage.rings(mentions=True)
    assert stage.rings(sender=stage.bob)
    stage.rules("unmute-user", stage.alice.user_id)
    assert stage.own() == {}
    assert stage.rings()


def test_rules_are_switched_off_and_on(stage: Stage) -> None:
    name = "underride/.m.rule.message"
    assert stage.rules("disable", name) == f"{name} is off.\n"
    assert not stage.rings()
    assert stage.rules("disable", name) == f"Nothing to do: {name} is off.\n"
    assert stage.rules("enable", name) == f"{name} is on.\n"
    assert stage.rings()


def test_rules_of_every_kind_are_made_where_they_are_wanted_and_removed(stage: Stage) -> None:
    add = ("add", "--dont-notify")
    stage.rules(*add, "override/first", "-c", "content.body=hush", "-c", "members>=2", "-c", f"room={stage.room}")
    stage.rules(*add, "override/top", "-c", f"sender={stage.bob.user_id}")
    stage.rules(*add, "override/above", "-c", "content.body=one", "--before", "first")
    stage.rules(*add, "override/below", "-c", "content.body=two", "--after", "override/first")
    stage.rules("add", "content/word", "--pattern", "w?rd", "--sound", "ring")
    stage.rules("add", f"room/{stage.room}", "--highlight")
    stage.rules("add", "underride/last", "-c", "type=m.room.topic", "--action", "notify")
    stage.rules(*add, f"sender/{stage.bob.user_id}")
    assert stage.own() == {
        "override": ["top", "above", "first", "below"],
        "content": ["word"],
        "room": [stage.room],
        "sender": [stage.bob.user_id],
        "underride": ["last"],
    }
    for body in ("hush!", "one", "two"):
        assert not stage.rings(body)
    assert not stage.rings(sender=stage.bob)
    assert (stage.verdict("a ward")).sound == "ring"
    assert (stage.verdict("hello")).highlight

    stage.rules(*add, "override/below", "-c", "content.body=two", "--before", "above")
    assert stage.own()["override"] == ["top", "below", "above", "first"]
    assert (stage.rules(*add, "override/below", "-c", "content.body=two", "--before", "above")).startswith("Nothing")
    stage.rules("disable", "override/first")
    stage.rules(*add, "override/first", "-c", "content.body=silence")
    assert not stage.rings("silence")
    for kind, rule_ids in stage.own().items():
        for rule_id in rule_ids:
            stage.rules("remove", f"{kind}/{rule_id}")
            assert (stage.rules("remove", f"{kind}/{rule_id}")).startswith("Nothing to do")
    assert stage.own() == {}


def test_the_list_is_what_the_homeserver_has_in_its_order(stage: Stage) -> None:
    stage.rules("mute", stage.room)
    stage.rules("keyword", "add", "lunch", "--highlight")
    listed = json.loads(stage.rules("list", "--json"))
    seen = stage.seen()
    kinds = ("override", "content", "postcontent", "room", "sender", "underride")
    assert [(rule["kind"], rule["rule_id"], rule["enabled"], rule["predefined"]) for rule in listed["rules"]] == [
        (kind, rule["rule_id"], rule["enabled"], rule["default"]) for kind in kinds for rule in seen.get(kind, [])
    ]
    assert listed["problems"] == []
    text = stage.rules("list")
    assert "  1. override/.m.rule.master  (off, predefined)\n     Always: stay silent.\n" in text
    assert "When it says “lunch”: notify, highlighted." in text
    assert "never does" not in text


@pytest.mark.expected_log("homeserver 404 GET .*/directory/room/")
def test_what_the_homeserver_would_refuse_is_told_beforehand(stage: Stage) -> None:
    before = stage.seen()
    for words, why in [
        (("remove", "override/.m.rule.master"), "is predefined and cannot be removed"),
        (("enable", "override/nothing"), "There is no rule override/nothing"),
        (("add", "override/.mine", "-c", "type=x"), "a dot in front"),
        (("add", "override/a/b", "-c", "type=x"), "cannot be the id of a rule"),
        (("add", "postcontent/mine"), "The homeserver alone makes postcontent rules"),
        (("add", "override/mine", "-c", "type=x", "--before", ".m.rule.master"), "is predefined"),
        (("add", "override/mine", "-c", "type=x", "--after", "nothing"), "There is no rule override/nothing"),
        (("mute", "#nowhere:localhost"), "There is no room #nowhere:localhost"),
    ]:
        lines = stage.refused(*words)
        assert why in lines[0]
    assert stage.seen() == before


@pytest.fixture
async def screen(private_bus: PrivateBus) -> AsyncIterator[NotificationServer]:
    server = NotificationServer(private_bus.address)
    await server.start()
    yield server
    await server.stop()


def test_a_room_that_had_no_news_yet_is_known_by_its_name_too(stage: Stage) -> None:
    assert stage.rules("mute", "lunch") == f"Lunch ({stage.room}) is muted.\n"
    assert not stage.rings()
    asyncio.run(stage.me.create_room("LUNCH"))
    assert "Several rooms are called 'Lunch'" in stage.refused("unmute", "Lunch")[0]
    assert "Perhaps one of these: " in stage.refused("unmute", "unch")[1]


async def heliograph_rules(*words: str) -> str:
    command = (sys.executable, "-m", "heliograph", "rules", *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return output.decode()


async def test_the_running_daemon_goes_by_the_change_at_once_and_knows_the_room_by_its_name(
    stage: Stage, screen: NotificationServer
) -> None:
    def shown(text: str) -> bool:
        return any(text in each.body for each in screen.shown)

    async with Daemon():
        await stage.alice.send_text(stage.room, "before")
        await until(lambda: shown("before"), "the notification")
        assert await heliograph_rules("mentions-only", "lunch") == (
            f"Of Lunch ({stage.room}) only mentions and keywords notify.\n"
        )
        assert f"When it is in Lunch ({stage.room}): stay silent." in await heliograph_rules("list")
        await stage.alice.send_text(stage.room, "not to be heard")
        await stage.alice.send_text(stage.room, "a mention", [stage.me])
        await until(lambda: shown("a mention"), "the mention")
        assert not shown("not to be heard")
        await heliograph_rules("unmute", "LUNCH")
        await stage.alice.send_text(stage.room, "after")
        await until(lambda: shown("after"), "the notification afterwards")
        assert not shown("not to be heard")
