"""`heliograph rules` against a server on loopback that says what the test wants. What really rings: tests/system."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import Result

from conftest import Home
from edges.cli.conftest import Shell
from edges.login_server import PASSWORD, LoginServer
from edges.private_keyring import private_keyring
from heliograph.accounts import state_folder
from heliograph.core.record import Plan, RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.store.ledger import SqliteLedger
from support.builders import ALICE, BOB, ME, ROOM, make_facts
from support.buses import PrivateBus
from support.rule_builders import make_rule, match

TWIN = "!twin:example.org"
BELL = {"set_tweak": "sound", "value": "ring"}
NAMED = {"kind": "contains_display_name"}


def log_in(shell: Shell, server: LoginServer, user_id: str = ME) -> None:
    options = ("--homeserver", server.url, "--secrets", "file", "--password-stdin")
    assert shell.run("login", user_id, *options, stdin=f"{PASSWORD}\n").exit_code == 0


@pytest.fixture
def signed_in(shell: Shell, server: LoginServer) -> LoginServer:
    """ME has signed in, with the token in a file."""
    log_in(shell, server)
    return server


def know_rooms(*rooms: RoomFacts) -> None:
    async def fill() -> None:
        ledger = await SqliteLedger.open(state_folder(ME))
        await ledger.commit(Plan("s2", rooms=tuple(RoomRecord(facts) for facts in rooms)), 1)
        await ledger.close()

    asyncio.run(fill())


def assert_refused(result: Result, title: str, hint: str, code: int = 1) -> None:
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == ["Error", "Try"], result.output
    assert title in result.stderr.splitlines()[0]
    assert hint in result.stderr.splitlines()[1]
    assert result.exit_code == code


# The list


def test_rules_are_listed_in_their_order_with_what_is_wrong_with_them(shell: Shell, signed_in: LoginServer) -> None:
    know_rooms(make_facts(ROOM))
    signed_in.rules = {
        "override": [make_rule("\x1b[31mred", pattern=1, conditions=[{"kind": "un.known"}]), 7],
        "room": [make_rule(ROOM, enabled=False)],
        "underride": [make_rule("all", conditions=[]), make_rule(".m.rule.message", conditions=[match("type", "x")])],
    }
    result = shell.run("rules", "list")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "  1. override/[31mred  (on)",
        '     When a condition holds that never does ({"kind": "un.known"}): notify.',
        "     Problem: never matches.",
        f"  2. room/{ROOM}  (off)",
        f"     When it is in Lunch ({ROOM}): notify.",
        "  3. underride/all  (on)",
        "     Always: notify.",
        "  4. underride/.m.rule.message  (on, predefined)",
        "     When its type is x: notify.",
        "     Problem: never reached: underride/all matches everything before it.",
        "Problem: override rule 2 is left out: it is not an object.",
    ]


def test_scripts_get_only_conditions_that_the_homeserver_told(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.rules = {"override": [make_rule(".m.rule.contains_display_name", conditions=[NAMED])]}
    (rule,) = json.loads(shell.run("rules", "list", "--json").stdout)["rules"]
    assert rule["conditions"] == [NAMED]


def test_scripts_get_the_rules_as_json(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.rules = {
        "content": [make_rule("w", "notify", {"set_tweak": "sound", "value": "ring"}, "coalesce", pattern="w")],
        "sender": 7,
    }
    answer = json.loads(shell.run("rules", "list", "--json").stdout)
    assert answer == {
        "user_id": ME,
        "rules": [
            {
                "kind": "content",
                "rule_id": "w",
                "enabled": True,
                "predefined": False,
                "conditions": [match("content.body", "w")],
                "actions": ["notify", {"set_tweak": "sound", "value": "ring"}],
                "notify": True,
                "highlight": False,
                "sound": "ring",
                "sentence": "When it says “w”: notify, with the sound “ring”.",
                "problem": None,
            }
        ],
        "problems": ["the sender rules are not an array"],
    }


def test_an_account_without_rules_is_told_so(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.rules = {}
    assert shell.run("rules", "list").stdout == "There are no rules: nothing rings.\n"


# Which account


def test_without_an_account_it_says_how_to_begin(shell: Shell) -> None:
    assert_refused(shell.run("rules", "list"), "No account has signed in", "heliograph login", 78)


def test_of_several_accounts_one_has_to_be_named(shell: Shell, signed_in: LoginServer) -> None:
    log_in(shell, signed_in, ALICE)
    assert_refused(shell.run("rules", "mute", ROOM), f"{ALICE}, {ME}", f"--account {ALICE}", 2)
    assert signed_in.rule_changes == []
    assert shell.run("rules", "mute", ROOM, "--account", ALICE).exit_code == 0
    assert_refused(shell.run("rules", "list", "--account", BOB), f"{BOB} is not signed in", "heliograph accounts", 78)


def test_a_signed_out_device_is_two_lines(shell: Shell, signed_in: LoginServer) -> None:
    [token] = signed_in.devices
    del signed_in.devices[token]
    assert_refused(shell.run("rules", "list"), f"{ME} is signed out", f"heliograph login {ME}", 78)
    signed_in.soft_logouts.add(token)
    assert_refused(shell.run("rules", "mute", ROOM), "waits for a new login", f"heliograph login {ME}", 77)
    (state_folder(ME) / "secret.json").unlink()
    assert_refused(shell.run("rules", "list"), "access token is missing", f"heliograph login {ME}", 77)


def test_a_locked_keyring_is_two_lines_and_not_a_new_login(
    shell: Shell, server: LoginServer, private_bus: PrivateBus, home: Home
) -> None:
    options = ("--homeserver", server.url, "--secrets", "keyring", "--password-stdin")
    with private_keyring(private_bus.address, home.path) as keyring:
        assert shell.run("login", ME, *options, stdin=f"{PASSWORD}\n").exit_code == 0
        asyncio.run(keyring.lock())
        assert_refused(shell.run("rules", "list"), "The keyring cannot be read", "Unlock it")


# Changes


@pytest.mark.parametrize(
    ("words", "requests"),
    [
        (("mute", ROOM), [(f"PUT override/{ROOM}", {"actions": [], "conditions": [match("room_id", ROOM)]})]),
        (("mentions-only", ROOM), [(f"PUT room/{ROOM}", {"actions": []})]),
        (("unmute", ROOM), []),
        (("mute-user", ALICE), [(f"PUT override/{ALICE}", {"actions": [], "conditions": [match("sender", ALICE)]})]),
        (("unmute-user", ALICE), []),
        (("keyword", "add", "a b"), [("PUT content/a b", {"actions": ["notify"], "pattern": "a b"})]),
        (("keyword", "remove", "word"), [("DELETE content/my word", {})]),
        (("disable", "content/my word"), [("PUT content/my word/enabled", {"enabled": False})]),
        (("enable", "content/my word"), []),
        (("remove", "content/my word"), [("DELETE content/my word", {})]),
        (
            ("keyword", "add", "word", "--sound", "ring"),
            [("PUT content/my word/actions", {"actions": ["notify", BELL]})],
        ),
        (
            ("add", "content/x", "--pattern", "x", "--after", "content/my word", "--action", "notify", "--highlight"),
            [("PUT content/x?after=my word", {"actions": ["notify", {"set_tweak": "highlight"}], "pattern": "x"})],
        ),
        (
            ("add", "underride/x", "-c", "display-name", "-c", f"room={ROOM}", "--dont-notify"),
            [
                (
                    "PUT underride/x",
                    {"actions": [], "conditions": [NAMED, match("room_id", ROOM)]},
                )
            ],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_each_command_asks_for_just_what_is_wished(
    shell: Shell, signed_in: LoginServer, words: tuple[str, ...], requests: list[tuple[str, Any]]
) -> None:
    signed_in.rules["content"] = [make_rule("my word", pattern="word")]
    result = shell.run("rules", *words)
    assert result.exit_code == 0, result.output
    asked = [(call.replace("/pushrules/global/", ""), body) for call, body in signed_in.rule_changes]
    assert asked == requests
    assert result.stdout.startswith("Nothing to do: ") is not bool(requests)


@pytest.mark.parametrize(
    ("status", "errcode", "hint"),
    [
        (400, "M_UNKNOWN", "heliograph rules list"),
        (404, "M_NOT_FOUND", "Another client may have changed it"),
        (404, "M_UNRECOGNIZED", "does not know such rules"),
        (403, "M_FORBIDDEN", "heliograph rules list"),
    ],
)
def test_a_refused_change_says_why(shell: Shell, signed_in: LoginServer, status: int, errcode: str, hint: str) -> None:
    call = "PUT /pushrules/global/override/.m.rule.master/enabled"
    signed_in.answers[call] = status, {"errcode": errcode, "error": "Because \x1b[31m of this"}
    result = shell.run("rules", "enable", "override/.m.rule.master")
    assert_refused(result, f"The homeserver refused with HTTP {status}: {errcode} Because [31m of this.", hint)


def test_a_change_that_was_begun_says_how_far_it_came(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.rules["override"].insert(1, make_rule("mute", conditions=[match("room_id", ROOM)]) | {"actions": []})
    signed_in.answers["DELETE /pushrules/global/override/mute"] = 400, {"errcode": "M_UNKNOWN", "error": "No"}
    assert_refused(shell.run("rules", "mentions-only", ROOM), "1 of 2 steps are done", "heliograph rules list")


def test_what_another_client_deleted_meanwhile_is_deleted(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.rules["content"] = [make_rule("x", pattern="x")]
    signed_in.answers["DELETE /pushrules/global/content/x"] = 404, {"errcode": "M_NOT_FOUND", "error": "Gone"}
    assert shell.run("rules", "remove", "content/x").exit_code == 0


def test_a_server_that_fails_is_two_lines(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.answers["GET /pushrules/"] = 502, "<html>Bad Gateway</html>"
    assert_refused(shell.run("rules", "list"), "502", "again later")
    signed_in.answers["GET /pushrules/"] = 200, {"device": {}}
    assert_refused(shell.run("rules", "list"), "without global ones", "again later")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("remove", "override/.m.rule.master"), "predefined"),
        (("enable", "nonsense"), "does not name a rule"),
        (("add", "override/x", "-c", "nonsense"), "is not a condition"),
        (("add", "override/x", "-c", "content.x==1.5"), "never holds"),
        (("add", "override/x", "--action", "dont_notify"), "is not an action"),
        (("add", "override/x", "--dont-notify", "--highlight"), "stays silent"),
        (("add", "override/x", "--before", "a", "--after", "b"), "not both"),
        (("add", "content/x"), "A content rule has a pattern"),
        (("keyword", "add", " "), "A keyword is a word"),
        (("mute-user", "alice"), "not a Matrix user id"),
    ],
)
def test_what_cannot_be_is_refused_in_two_lines(
    shell: Shell, signed_in: LoginServer, words: tuple[str, ...], why: str
) -> None:
    result = shell.run("rules", *words)
    assert_refused(result, why, "", result.exit_code)
    assert result.exit_code in (1, 2)
    assert signed_in.rule_changes == []


def test_a_sender_rule_comes_with_a_warning(shell: Shell, signed_in: LoginServer) -> None:
    result = shell.run("rules", "add", f"sender/{ALICE}", "--dont-notify")
    assert "heliograph rules mute-user" in result.stderr
    assert result.stdout == f"sender/{ALICE}: When it is from {ALICE}: stay silent.\n"


# Rooms by name and alias


def test_a_room_is_named_as_on_the_screen(shell: Shell, signed_in: LoginServer) -> None:
    know_rooms(make_facts(ROOM), make_facts(TWIN, name=None, heroes=(ALICE,), joined_member_count=2))
    assert shell.run("rules", "mute", "lunch").stdout == f"Lunch ({ROOM}) is muted.\n"
    assert shell.run("rules", "mute", "Alice").stdout == f"Alice ({TWIN}) is muted.\n"


def test_rooms_of_one_name_are_told_apart_by_the_user(shell: Shell, signed_in: LoginServer) -> None:
    know_rooms(make_facts(ROOM), make_facts(TWIN))
    result = shell.run("rules", "mute", "Lunch")
    assert_refused(result, "Several rooms are called 'Lunch'", f"Lunch ({ROOM}), Lunch ({TWIN})", 2)
    know_rooms(*(make_facts(f"!{n}:x") for n in range(20)))
    assert_refused(shell.run("rules", "mute", "Lunch"), "Several rooms", "and 12 more", 2)


def test_an_unknown_name_is_refused_with_those_like_it(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.answers["GET /joined_rooms"] = 200, {"joined_rooms": [7]}
    assert_refused(shell.run("rules", "mute", "Lun"), "No room of yours is called 'Lun'", "give its id", 2)
    know_rooms(make_facts(ROOM))
    assert_refused(shell.run("rules", "mute", "Lun"), "No room of yours is called 'Lun'", f"Lunch ({ROOM})", 2)
    assert signed_in.rule_changes == []


def test_a_homeserver_that_does_not_tell_of_rooms_is_two_lines(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.answers["GET /joined_rooms"] = 502, "Bad Gateway"
    assert_refused(shell.run("rules", "mute", "Lunch"), "502", "again later")


@pytest.mark.parametrize("name", ["Lunch", "#lunch:example.org", ROOM])
@pytest.mark.parametrize(
    ("command", "request_", "told"),
    [
        ("disable", (f"PUT room/{ROOM}/enabled", {"enabled": False}), f"room/Lunch ({ROOM}) is off."),
        ("remove", (f"DELETE room/{ROOM}", {}), f"there is no rule room/Lunch ({ROOM}) any more."),
    ],
)
def test_a_room_rule_is_named_by_its_room(
    shell: Shell, signed_in: LoginServer, command: str, request_: tuple[str, Any], name: str, told: str
) -> None:
    know_rooms(make_facts(ROOM, canonical_alias="#lunch:example.org"))
    signed_in.rules["room"] = [make_rule(ROOM)]
    assert shell.run("rules", command, f"room/{name}").stdout == f"{told}\n"
    assert signed_in.rule_changes == [(request_[0].replace(" ", " /pushrules/global/"), request_[1])]


def test_room_rules_stand_next_to_those_of_other_rooms(shell: Shell, signed_in: LoginServer) -> None:
    know_rooms(make_facts(ROOM), make_facts(TWIN, name="Tea"))
    signed_in.rules["room"] = [make_rule(ROOM)]
    result = shell.run("rules", "add", "room/Tea", "--dont-notify", "--after", "Lunch")
    assert result.exit_code == 0, result.output
    assert signed_in.rule_changes == [(f"PUT /pushrules/global/room/{TWIN}?after={ROOM}", {"actions": []})]
    signed_in.answers["GET /joined_rooms"] = 200, {"joined_rooms": []}
    assert_refused(shell.run("rules", "enable", "room/nowhere"), "No room of yours is called 'nowhere'", "id (!...)", 2)
    assert_refused(shell.run("rules", "enable", "room/!else:x"), "There is no rule room/!else:x", "rules list")


def test_a_room_rule_that_names_no_room_is_removed_as_it_is(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.rules["room"] = [make_rule("no/room")]
    assert shell.run("rules", "remove", "room/no/room").exit_code == 0
    assert signed_in.rule_changes == [("DELETE /pushrules/global/room/no/room", {})]


def test_a_room_whose_id_looks_like_a_pattern_is_named_exactly(shell: Shell, signed_in: LoginServer) -> None:
    assert shell.run("rules", "add", "override/x", "-c", "room=!a*:example.org").exit_code == 0
    [(_, body)] = signed_in.rule_changes
    assert body["conditions"] == [{"kind": "event_property_is", "key": "room_id", "value": "!a*:example.org"}]


def test_an_alias_is_known_or_asked_for(shell: Shell, signed_in: LoginServer) -> None:
    know_rooms(make_facts(ROOM, canonical_alias="#lunch:example.org"))
    assert shell.run("rules", "mute", "#lunch:example.org").stdout == f"Lunch ({ROOM}) is muted.\n"
    call = "GET /directory/room/#else:example.org"
    signed_in.answers[call] = 200, {"room_id": TWIN}
    assert shell.run("rules", "mute", "#else:example.org").stdout == f"{TWIN} is muted.\n"
    signed_in.answers[call] = 404, {"errcode": "M_NOT_FOUND", "error": "Unknown alias"}
    assert_refused(shell.run("rules", "mute", "#else:example.org"), "There is no room #else:example.org", "spelling")
    signed_in.answers[call] = 200, {"room_id": "nonsense"}
    assert_refused(shell.run("rules", "mute", "#else:example.org"), "without the id", "again later")


@pytest.mark.parametrize("command", ["mute", "mentions-only"])
def test_a_room_that_the_user_is_not_in_is_not_muted(shell: Shell, signed_in: LoginServer, command: str) -> None:
    signed_in.answers["GET /joined_rooms"] = (200, {"joined_rooms": ["!other:example.org"]})
    result = shell.run("rules", command, "!nope:localhost")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[0] == "Error: You are not in !nope:localhost."
    assert signed_in.rule_changes == []
    assert shell.run("rules", command, "!other:example.org").exit_code == 0


def test_a_mute_of_a_room_that_was_left_can_be_undone(shell: Shell, signed_in: LoginServer) -> None:
    signed_in.answers["GET /joined_rooms"] = (200, {"joined_rooms": []})
    assert shell.run("rules", "unmute", "!left:example.org").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [("keyword", "add", "tea", "--sound", "louder"), ("add", "content/a", "--pattern", "tea", "--sound", "louder")],
)
def test_a_sound_that_nothing_plays_is_refused_with_those_that_something_does(
    shell: Shell, signed_in: LoginServer, home: Home, words: tuple[str, ...]
) -> None:
    result = shell.run("rules", *words)
    assert result.exit_code == 2
    assert "'louder' is none of default, ring." in result.stderr
    folder = home.config / "heliograph/sounds"
    folder.mkdir(parents=True)
    (folder / "louder.oga").touch()
    assert shell.run("rules", *words).exit_code == 0


@pytest.mark.parametrize("name", [".m.rule.suppress_notices", "override/.m.rule.suppress_notices"])
def test_a_rule_is_known_by_its_id_alone(shell: Shell, signed_in: LoginServer, name: str) -> None:
    rule = {"rule_id": ".m.rule.suppress_notices", "default": True, "enabled": True, "actions": []}
    signed_in.answers["GET /pushrules/"] = (200, {"global": {"override": [rule]}})
    result = shell.run("rules", "disable", name)
    assert result.stdout == "override/.m.rule.suppress_notices is off.\n"


def test_of_two_rules_of_one_id_the_kind_is_asked_for(shell: Shell, signed_in: LoginServer) -> None:
    rule = {"rule_id": "pager", "default": False, "enabled": True, "actions": []}
    signed_in.answers["GET /pushrules/"] = (200, {"global": {"override": [rule], "underride": [rule]}})
    result = shell.run("rules", "disable", "pager")
    assert result.exit_code == 2
    assert "Say which: override/pager or underride/pager." in result.stderr


def test_what_was_no_keyword_is_no_keyword(shell: Shell, signed_in: LoginServer) -> None:
    assert shell.run("rules", "keyword", "remove", "tea").stdout == "Nothing to do: 'tea' is no keyword of yours.\n"
