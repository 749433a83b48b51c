"""`heliograph explain`: from the ledger, from the homeserver, or a sentence that says why not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edges.cli.conftest import Shell
from edges.login_server import PASSWORD, LoginServer
from heliograph.accounts import find_account, state_folder
from heliograph.core.delivery import Move
from heliograph.core.events import AccountData, Event
from heliograph.core.ids import EventId, OwnKey, RoomId
from heliograph.core.record import Decision, Judged, Plan, RoomRecord
from heliograph.ports.ledger import Settlement
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import decode_secret
from heliograph.store.ledger import SqliteLedger
from support.builders import ALICE, BOB, ME, ROOM, make_delivery, make_encrypted, make_event, make_facts
from support.peers import Peer, open_machine, withheld_event
from support.rule_builders import make_rule

NOON_MS = 1_700_000_000_000
MESSAGE = make_event("lunch?", event_id="$event")
RULES = {"global": {"content": [make_rule("lunch", "notify", {"set_tweak": "highlight"}, pattern="lunch")]}}


@pytest.fixture
def signed_in(shell: Shell, server: LoginServer) -> LoginServer:
    """ME is signed in, and the homeserver shows the message and the rules of the specification."""
    sign_in(shell, server, ME)
    serve(server, MESSAGE)
    return server


def sign_in(shell: Shell, server: LoginServer, user_id: str) -> None:
    words = ("login", user_id, "--homeserver", server.url, "--secrets", "file", "--password-stdin")
    assert shell.run(*words, stdin=PASSWORD).exit_code == 0


def serve(server: LoginServer, event: Event) -> None:
    server.answers[f"GET /rooms/{event.room_id}/event/{event.event_id}"] = (200, event.raw)


def remember(*, user_id: str = ME, settlements: tuple[Settlement, ...] = (), **plan: Any) -> None:
    """A ledger with this plan committed, in a room that it knows all about."""

    async def fill() -> None:
        ledger = await SqliteLedger.open(state_folder(user_id))
        plan.setdefault("rooms", (RoomRecord(make_facts()),))
        await ledger.commit(Plan(next_batch="s2", **plan), NOON_MS)
        await ledger.settle(settlements)
        await ledger.close()

    asyncio.run(fill())


def ring(event_id: str = MESSAGE.event_id, **judged: Any) -> dict[str, Any]:
    """A plan in which the event rings by the keyword."""
    defaults = {"rule": "content/lunch", "sender": ALICE}
    return {
        "judged": (Judged(EventId(event_id), ROOM, Decision.RING, "content/lunch", **(defaults | judged)),),
        "deliveries": (make_delivery(event_id),),
        "account_data": AccountData(push_rules=RULES),
    }


def explained(shell: Shell, *words: str) -> dict[str, Any]:
    result = shell.run("explain", *words, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_an_event_that_rang_is_told_of_with_every_rule_and_its_outcome(shell: Shell, signed_in: LoginServer) -> None:
    remember(**ring(), settlements=(Settlement(MESSAGE.event_id, Move.WITHDRAWN, why="read elsewhere"),))

    result = shell.run("explain", MESSAGE.event_id)

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "It rang, by content/lunch. It was taken back before it was shown: read elsewhere."
    assert f"  room     Lunch ({ROOM})" in lines
    assert f"  sender   {ALICE}" in lines
    assert "  * content/lunch  matched: notify, highlighted" in lines


def test_scripts_get_all_of_it_as_json(shell: Shell, signed_in: LoginServer) -> None:
    remember(**ring())

    answer = explained(shell, MESSAGE.event_id)

    assert answer["rings"] is True
    assert answer["account"] == ME
    assert answer["room_id"] == ROOM
    assert answer["event"] == {
        "event_id": "$event",
        "type": "m.room.message",
        "sender": ALICE,
        "ts": MESSAGE.origin_server_ts,
    }
    assert answer["verdict"]["rule"] == "content/lunch"
    assert answer["rules"] == [
        {
            "rule": "content/lunch",
            "enabled": True,
            "matched": True,
            "sentence": "matched: notify, highlighted",
            "condition": None,
            "saw": None,
        }
    ]
    assert answer["ledger"]["decision"] == "ring"
    assert answer["ledger"]["judged_ms"] == NOON_MS
    assert answer["ledger"]["delivery"]["state"] == "pending"
    assert answer["notes"] == []


def receive(tmp_path: Path, *, is_key_given: bool) -> Event:
    """An encrypted message of Alice's, and our keys as the daemon keeps them, with its own or with one withheld."""

    async def fill() -> Event:
        account = find_account(ME)
        assert account is not None
        secret = decode_secret(ME, str(await open_secrets("file").load(ME)))
        mine = await open_machine(state_folder(ME), ME, account.device_id, secret.pickle_key)
        alice = await Peer.open(tmp_path / "alice")
        keys = await alice.share(mine)
        said = await alice.say("lunch?", event_id="$event")
        await mine.take(keys if is_key_given else [withheld_event(ALICE, said.content["session_id"])])
        await mine.close()
        await alice.machine.close()
        return said

    return asyncio.run(fill())


def test_an_encrypted_event_is_explained_by_what_it_says(shell: Shell, signed_in: LoginServer, tmp_path: Path) -> None:
    remember(**ring())
    serve(signed_in, receive(tmp_path, is_key_given=True))

    for _ in range(2):
        answer = explained(shell, "$event")
        assert answer["verdict"]["rule"] == "content/lunch"
        assert answer["notes"] == ["It is encrypted; the rules were tried on what it says."]


def test_an_encrypted_event_that_cannot_be_read_says_why_in_words(
    shell: Shell, signed_in: LoginServer, tmp_path: Path
) -> None:
    remember(**ring(encryption="its key has not come"))
    serve(signed_in, receive(tmp_path, is_key_given=False))

    lines = shell.run("explain", "$event").stdout.splitlines()

    assert "When it was judged: its key has not come." in lines
    withheld = "its sender withheld the key: this device is not verified"
    assert any(line.startswith(f"It is encrypted and cannot be read: {withheld}.") for line in lines)


def test_an_encrypted_event_is_explained_without_any_keys(shell: Shell, signed_in: LoginServer) -> None:
    remember(**ring())
    serve(signed_in, make_encrypted(MESSAGE))

    assert any("what it says is not known here" in note for note in explained(shell, "$event")["notes"])


def test_what_is_in_the_ledger_is_not_asked_for_again(shell: Shell, signed_in: LoginServer) -> None:
    remember(**ring())
    signed_in.requests.clear()

    explained(shell, MESSAGE.event_id)

    assert signed_in.requests == [f"GET /rooms/{ROOM}/event/{MESSAGE.event_id}"]


def test_an_event_that_the_ledger_does_not_know_is_asked_of_the_homeserver(
    shell: Shell, signed_in: LoginServer
) -> None:
    signed_in.answers["GET /pushrules/"] = (200, RULES)
    signed_in.answers[f"GET /rooms/{ROOM}/state/m.room.member/{ME}"] = (200, {"membership": "join"})

    answer = explained(shell, f"https://matrix.to/#/{ROOM}/{MESSAGE.event_id}?via=example.org")

    assert answer["answer"] == "It would ring, by content/lunch, but Heliograph was not told of it."
    assert answer["ledger"] is None
    assert [rule["rule"] for rule in answer["rules"]] == ["content/lunch"]
    assert any("There is no ledger.db" in note for note in answer["notes"])


def test_without_push_rules_on_the_homeserver_those_of_the_specification_are_tried(
    shell: Shell, signed_in: LoginServer
) -> None:
    answer = explained(shell, MESSAGE.event_id, "--room", ROOM)

    assert answer["verdict"]["rule"] == "underride/.m.rule.message"
    assert "Nothing is known of its room" in "".join(answer["notes"])


@pytest.mark.parametrize("room", ["#lunch:example.org", "lunch"])
def test_the_room_may_be_given_by_alias_or_by_name(shell: Shell, signed_in: LoginServer, room: str) -> None:
    remember()
    signed_in.answers["GET /directory/room/#lunch:example.org"] = (200, {"room_id": ROOM})

    assert explained(shell, MESSAGE.event_id, "--room", room)["room_id"] == ROOM


def test_an_event_whose_room_is_not_known_asks_for_it(shell: Shell, signed_in: LoginServer) -> None:
    result = shell.run("explain", MESSAGE.event_id)

    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Error: Heliograph has no record of $event, and it is not known in which room it is.",
        "Try: Say which one with --room, or give the link to the event that your client copies.",
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, {"errcode": "M_NOT_FOUND", "error": "Event not found."}), (403, {"errcode": "M_FORBIDDEN"})],
)
def test_an_event_that_the_homeserver_does_not_show_is_two_lines(
    shell: Shell, signed_in: LoginServer, status: int, body: Any
) -> None:
    signed_in.answers[f"GET /rooms/{ROOM}/event/$event"] = (status, body)

    result = shell.run("explain", f"matrix:roomid/{ROOM[1:]}/e/event")

    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"Error: The homeserver shows no event $event in {ROOM}: refused with HTTP {status}"
    )
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "body", [{}, [], {**MESSAGE.raw, "content": 3}, {**MESSAGE.raw, "sender": None}, "<html>", {"a": "x" * 600_000}]
)
def test_an_answer_that_is_no_event_is_two_lines(shell: Shell, signed_in: LoginServer, body: Any) -> None:
    signed_in.answers[f"GET /rooms/{ROOM}/event/$event"] = (200, body)

    result = shell.run("explain", "$event", "--room", ROOM)

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize("event", ["", "event", "@me:example.org", "!room:example.org", "https://matrix.to/#/!room"])
def test_what_is_no_event_is_a_usage_error_that_speaks_of_quotes(shell: Shell, event: str) -> None:
    result = shell.run("explain", event)

    assert result.exit_code == 2
    assert "single quotes" in result.stderr


def test_without_an_account_it_says_how_to_begin(shell: Shell) -> None:
    result = shell.run("explain", "$event")

    assert result.exit_code == 78
    assert "heliograph login" in result.stderr


def test_what_the_homeserver_no_longer_tells_is_explained_from_the_ledger(shell: Shell, signed_in: LoginServer) -> None:
    remember(**ring())
    signed_in.answers[f"GET /rooms/{ROOM}/event/$event"] = (404, {"errcode": "M_NOT_FOUND", "error": "Gone"})

    answer = explained(shell, MESSAGE.event_id)

    assert answer["answer"] == "It rang, by content/lunch. It waits to be shown."
    assert (answer["event"], answer["rules"]) == (None, [])
    assert "The homeserver shows no event $event" in answer["notes"][0]


def test_signed_out_it_still_tells_what_the_ledger_knows(shell: Shell, signed_in: LoginServer) -> None:
    remember(**ring())
    signed_in.devices.clear()
    signed_in.answers.clear()

    known, unknown = shell.run("explain", "$event"), shell.run("explain", "$other", "--room", ROOM)

    assert known.exit_code == 0
    assert known.stdout.startswith("It rang, by content/lunch.")
    assert "is signed out" in known.stdout
    assert unknown.exit_code == 78
    assert "heliograph login" in unknown.stderr


def test_an_invite_is_explained_by_the_id_that_status_and_log_give_it(shell: Shell, signed_in: LoginServer) -> None:
    event_id = f"invite:{ROOM}:0"
    remember(judged=(Judged(EventId(event_id), ROOM, Decision.RING, "x", "override/.m.rule.invite_for_me", BOB),))

    answer = explained(shell, event_id)

    assert answer["verdict"]["rule"] == "override/.m.rule.invite_for_me"
    assert answer["event"]["sender"] == BOB


@pytest.mark.parametrize("serial", [3, 4])
def test_an_invite_is_found_by_the_id_that_its_event_has_elsewhere(
    shell: Shell, signed_in: LoginServer, serial: int
) -> None:
    rule = "override/.m.rule.invite_for_me"
    remember(
        judged=(Judged(OwnKey(f"invite:{ROOM}:3"), ROOM, Decision.RING, rule, rule, BOB),),
        rooms=(RoomRecord(make_facts(), invite_serial=serial),),
    )
    serve(
        signed_in,
        make_event(type="m.room.member", content={"membership": "invite"}, state_key=ME, sender=BOB, event_id="$event"),
    )

    answer = explained(shell, "$event", "--room", ROOM)

    assert answer["answer"] == f"It rang, by {rule}. What became of it is not known."
    assert answer["ledger"]["event_id"] == f"invite:{ROOM}:3"


def test_an_invite_that_was_never_judged_has_no_record(shell: Shell, signed_in: LoginServer) -> None:
    content = {"membership": "invite"}
    serve(signed_in, make_event(type="m.room.member", content=content, state_key=ME, sender=BOB, event_id="$event"))

    assert explained(shell, "$event", "--room", ROOM)["ledger"] is None


def test_a_malformed_event_is_explained_by_its_mark(shell: Shell, signed_in: LoginServer) -> None:
    remember(judged=(Judged(OwnKey("malformed:1"), ROOM, Decision.MALFORMED, "timeline: not JSON"),))

    result = shell.run("explain", "malformed:1")

    assert result.stdout.startswith(
        "It did not ring: it is malformed (timeline: not JSON).\n\n  event    malformed:1\n"
    )


def test_a_mark_that_nobody_knows_is_said_to_be_unknown(shell: Shell, signed_in: LoginServer) -> None:
    remember()

    result = shell.run("explain", "invite:!other:0")

    assert result.exit_code == 1
    assert "no record" in result.stderr


def test_of_several_accounts_the_one_that_knows_the_event_is_asked(shell: Shell, signed_in: LoginServer) -> None:
    sign_in(shell, signed_in, ALICE)
    remember(user_id=ALICE, **ring())

    assert explained(shell, "$event")["account"] == ALICE


def test_of_several_accounts_that_do_not_know_it_one_must_be_chosen(shell: Shell, signed_in: LoginServer) -> None:
    sign_in(shell, signed_in, ALICE)

    result = shell.run("explain", "$event", "--room", ROOM)

    assert result.exit_code == 2
    assert "--account" in result.stderr
    assert explained(shell, "$event", "--room", ROOM, "--account", ME)["account"] == ME


def test_a_message_cannot_command_the_terminal(shell: Shell, signed_in: LoginServer) -> None:
    serve(signed_in, make_event("\x1b]0;evil\x07\u202e" + "x" * 5_000, event_id="$event", sender="@\x1b[2J:x"))

    text = shell.run("explain", "$event", "--room", ROOM).stdout

    assert text.replace("\n", "").isprintable()
    assert max(map(len, text.splitlines())) < 400


def test_of_very_many_rules_some_are_only_counted(shell: Shell, signed_in: LoginServer) -> None:
    keywords = [make_rule(f"k{number}", pattern=f"word{number}") for number in range(600)]
    rules = {"global": {"content": keywords, "underride": [make_rule("last")]}}
    signed_in.answers["GET /pushrules/"] = (200, rules)

    lines = shell.run("explain", "$event", "--room", ROOM).stdout.splitlines()

    (place,) = (index for index, line in enumerate(lines) if line == "    101 more that did not match")
    assert lines[place + 1].startswith("  * underride/last")


def test_an_event_that_a_gap_may_have_hidden_says_so(shell: Shell, signed_in: LoginServer) -> None:
    gap = Judged(OwnKey("gap:1"), ROOM, Decision.SILENT, "too much came")
    elsewhere = Judged(OwnKey("gap:2"), RoomId("!elsewhere:example.org"), Decision.SILENT, "refused")
    remember(judged=(gap, elsewhere), account_data=AccountData(push_rules=RULES))
    notes = explained(shell, MESSAGE.event_id, "--room", ROOM)["notes"]
    assert "It may have come in a gap, of which not all could be fetched: too much came." in notes
