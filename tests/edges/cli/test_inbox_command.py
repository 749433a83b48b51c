"""`heliograph inbox` and `heliograph history`, over ledgers on disk and over a daemon on the bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from edges.cli.conftest import Shell
from fakes.answers import FakeAnswers
from fakes.daemon import FakeDaemon
from heliograph.accounts import Account, cache_root, save_account, state_folder
from heliograph.cli.output.table import columns_of, lay_out, word_time
from heliograph.core.delivery import Move, State
from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.notification import Category, Popup
from heliograph.core.record import Decision, Delivery, Judged, Plan, PopupRecord, RoomRecord
from heliograph.core.room import RoomFacts
from heliograph.core.summary.summary import Summary
from heliograph.core.summary.unread import UnreadMessage, UnreadRoom, inbox_as_json
from heliograph.errors import UserError
from heliograph.ports.ledger import Settlement
from heliograph.store.ledger import SqliteLedger
from heliograph.store.lock import AccountLock
from support.builders import ALICE, BOB, ME, ROOM, make_content, make_delivery, make_facts
from support.buses import PrivateBus

OTHER_ROOM = RoomId("!other:example.org")
NOON_MS = 1_763_640_000_000


def sign_in(user_id: str = ME) -> None:
    save_account(
        Account(user_id=UserId(user_id), device_id="D", homeserver="https://example.org", secrets="file", pushkey="k")
    )


def make_room(room_id: RoomId = ROOM, title: str = "Lunch", text: str = "hello", **room: Any) -> UnreadRoom:
    message = UnreadMessage("$a", ALICE, "Alice", text, NOON_MS, Category.MESSAGE, State.SHOWN)
    defaults: dict[str, Any] = {"unread": 1, "highlights": 0, "latest_ms": NOON_MS, "messages": (message,)}
    return UnreadRoom(room_id, title, **(defaults | room))


def daemon(bus: PrivateBus, *rooms: UnreadRoom, account: str = ME) -> FakeDaemon:
    sign_in(account)
    newest_first = sorted(rooms, key=lambda each: each.latest_ms, reverse=True)
    return FakeDaemon(bus, FakeAnswers(inbox=inbox_as_json({account: newest_first})))


def fill_ledger(
    user_id: str,
    *deliveries: Delivery,
    moves: dict[str, Move] | None = None,
    facts: RoomFacts | None = None,
    why: str = "why",
) -> None:
    async def fill() -> None:
        ledger = await SqliteLedger.open(state_folder(user_id))
        judged = tuple(
            Judged(
                each.event_id,
                RoomId(each.room_id),
                Decision.RING,
                ".m.rule.message",
                rule=".m.rule.message",
                origin_server_ts=NOON_MS + place,
            )
            for place, each in enumerate(deliveries)
        )
        rooms = (RoomRecord(facts),) if facts is not None else ()
        await ledger.commit(Plan("s2", judged=judged, deliveries=deliveries, rooms=rooms), NOON_MS)
        popup = PopupRecord(ROOM, Popup("s", 1), "d")
        await ledger.settle([Settlement(each.event_id, Move.SHOWN) for each in deliveries], shown=popup)
        await ledger.settle([Settlement(EventId(event_id), move, why=why) for event_id, move in (moves or {}).items()])
        await ledger.close()

    asyncio.run(fill())


# Listing


def test_rooms_are_listed_with_their_newest_message(shell: Shell, private_bus: PrivateBus) -> None:
    loud = make_room(OTHER_ROOM, "Work", "now!", unread=12, highlights=1, latest_ms=NOON_MS + 5)
    with daemon(private_bus, make_room(), loud):
        result = shell.run("inbox")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["1", "@12", "Work", lines[0].split()[3], "Alice:", "now!"],
        ["2", "1", "Lunch", lines[0].split()[3], "Alice:", "hello"],
    ]


def test_every_message_is_listed_on_demand(shell: Shell, private_bus: PrivateBus) -> None:
    messages = tuple(
        UnreadMessage(f"${n}", ALICE, "Alice", f"text {n}", NOON_MS + n, Category.MESSAGE, State.SHOWN) for n in (1, 2)
    )
    with daemon(private_bus, make_room(unread=2, messages=messages)):
        lines = shell.run("inbox", "-m").stdout.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["text 2", "text 1"]


def test_with_several_accounts_each_room_says_whose_it_is(shell: Shell, private_bus: PrivateBus) -> None:
    sign_in()
    sign_in(ALICE)
    answers = FakeAnswers(inbox=inbox_as_json({ME: [make_room()], ALICE: [make_room()]}))
    with FakeDaemon(private_bus, answers):
        text = shell.run("inbox").stdout
    assert ME in text
    assert ALICE in text


def test_what_strangers_wrote_cannot_command_the_terminal(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room(title="\x1b[2J\u202eevil", text="a\nb\x07")):
        text = shell.run("inbox").stdout
    assert text.count("\n") == 1
    assert not set("\x1b\x07\u202e") & set(text)


def test_scripts_get_numbers_and_ids(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room()):
        told = json.loads(shell.run("inbox", "--json").stdout)
    assert told["unread"] == 1
    (room,) = told["rooms"]
    assert (room["number"], room["account"], room["room_id"]) == (1, ME, ROOM)
    assert room["messages"][0]["text"] == "hello"


def test_an_empty_inbox_says_so(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus):
        assert shell.run("inbox").stdout == "Nothing is unread.\n"


def test_without_a_daemon_the_ledgers_tell(shell: Shell) -> None:
    sign_in()
    sign_in(ALICE)
    fill_ledger(ME, make_delivery("$a", content=make_content("in the ledger")), moves={"$a": Move.DISMISSED})
    result = shell.run("inbox")
    assert result.exit_code == 0
    assert "Alice: in the ledger" in result.stdout


def test_without_an_account_it_says_how_to_begin(shell: Shell) -> None:
    assert shell.run("inbox").exit_code == 78


@pytest.mark.parametrize("inbox", [{}, {"rooms": None}, {"rooms": [3, {}, {"messages": 3}, {"messages": [3, {}]}]}])
def test_an_answer_of_another_version_is_no_traceback(shell: Shell, private_bus: PrivateBus, inbox: Any) -> None:
    sign_in()
    with FakeDaemon(private_bus, FakeAnswers(inbox=inbox)):
        assert shell.run("inbox").exception is None


# Numbers


def test_a_room_keeps_its_number_whatever_arrives(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room()):
        shell.run("inbox")
    newer = make_room(OTHER_ROOM, latest_ms=NOON_MS + 5)
    with daemon(private_bus, make_room(), newer) as running:
        rooms = json.loads(shell.run("inbox", "--json").stdout)["rooms"]
        assert [(room["number"], room["room_id"]) for room in rooms] == [(2, OTHER_ROOM), (1, ROOM)]
        assert shell.run("inbox", "open", "1").stdout == "Opened Lunch\n"
    assert ("open", ME, ROOM, "") in running.answers.asked


def test_a_number_means_what_was_listed_even_if_it_was_read_meanwhile(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room(), make_room(OTHER_ROOM, latest_ms=NOON_MS + 5)):
        shell.run("inbox")
    with daemon(private_bus, make_room(OTHER_ROOM)) as running:
        assert shell.run("inbox", "open", "2").stdout == f"Opened {ROOM}\n"
    assert ("open", ME, ROOM, "") in running.answers.asked


def test_numbers_begin_anew_after_an_empty_inbox(shell: Shell, private_bus: PrivateBus) -> None:
    for rooms in ([make_room()], [], [make_room(OTHER_ROOM)]):
        with daemon(private_bus, *rooms):
            told = json.loads(shell.run("inbox", "--json").stdout)["rooms"]
    assert [room["number"] for room in told] == [1]


@pytest.mark.parametrize("text", ["", "nonsense", "[3]", "{}", "[" * 3000, '[["a", "b", "c"]]'])
def test_a_spoiled_file_of_numbers_is_begun_anew(shell: Shell, private_bus: PrivateBus, text: str) -> None:
    cache_root().mkdir(parents=True, exist_ok=True)
    (cache_root() / "inbox.json").write_text(text)
    with daemon(private_bus, make_room()):
        assert json.loads(shell.run("inbox", "--json").stdout)["rooms"][0]["number"] == 1


# Doing something


def test_without_a_number_the_newest_highlight_is_opened(shell: Shell, private_bus: PrivateBus) -> None:
    loud = make_room(OTHER_ROOM, "Work", highlights=1, latest_ms=NOON_MS - 5)
    with daemon(private_bus, make_room(), loud) as running:
        assert shell.run("inbox", "open").stdout == "Opened Work\n"
    assert running.answers.asked[-1] == ("open", ME, OTHER_ROOM, "")


def test_the_activation_token_is_passed_on(
    shell: Shell, private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_ACTIVATION_TOKEN", "token")
    with daemon(private_bus, make_room()) as running:
        shell.run("inbox", "open", ROOM)
    assert running.answers.asked[-1] == ("open", ME, ROOM, "token")


def test_with_nothing_unread_nothing_is_opened(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus):
        result = shell.run("inbox", "open")
    assert result.exit_code == 1
    assert "Nothing is unread." in result.stderr


def test_reading_and_replying_reach_the_daemon(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room()) as running:
        shell.run("inbox")
        assert shell.run("inbox", "read", "1").stdout == "Read: Lunch\n"
        assert shell.run("inbox", "reply", "1", "on", "my way").stdout == "Sent to Lunch\n"
    asked = [question for question in running.answers.asked if question != ("inbox",)]
    assert asked == [("mark_read", ME, ROOM), ("reply", ME, ROOM, "on my way")]


def test_all_rooms_are_marked_as_read_at_once(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room()) as running:
        assert shell.run("inbox", "read", "--all").stdout == "Read: 2 rooms\n"
        assert running.answers.asked == [("mark_all_read",)]


@pytest.mark.parametrize("words", [(), ("1", "--all")])
def test_one_room_or_all_are_marked_as_read(shell: Shell, words: tuple[str, ...]) -> None:
    done = shell.run("inbox", "read", *words)
    assert (done.exit_code, "Name one room, or say --all." in done.stderr) == (2, True)


def test_invites_are_answered(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room()) as running:
        assert shell.run("inbox", "accept", "Lunch").stdout == "Joined Lunch\n"
        assert shell.run("inbox", "decline", "1").stdout == "Declined the invite to Lunch\n"
    asked = [question for question in running.answers.asked if question != ("inbox",)]
    assert asked == [("accept", ME, ROOM), ("decline", ME, ROOM)]


LONG = "The room of all who have lunch together on Fridays"


@pytest.mark.parametrize("name", ["Lunch  Club", " lunch club", "LUNCH CLUB"])
def test_a_room_answers_to_its_name(shell: Shell, private_bus: PrivateBus, name: str) -> None:
    rooms = (make_room(title="Lunch Club"), make_room(OTHER_ROOM, "Lunch Club of old"))
    with daemon(private_bus, *rooms) as running:
        assert shell.run("inbox", "read", name).stdout == "Read: Lunch Club\n"
    assert running.answers.asked[-1] == ("mark_read", ME, ROOM)


def test_a_room_answers_to_what_the_table_shows_of_its_name(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room(title=LONG)):
        shown = "The room of all who have…"
        assert shown in shell.run("inbox").stdout
        assert shell.run("inbox", "read", shown).stdout == f"Read: {LONG}\n"


def test_of_two_rooms_of_one_name_the_number_is_asked_for(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room(), make_room(OTHER_ROOM, "lunch")):
        result = shell.run("inbox", "read", "Lunch")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: Several rooms in the inbox are called 'Lunch'.",
        "Try: Give the number of one: Lunch (1), lunch (2).",
    ]


@pytest.mark.parametrize("name", ["Lun", "Lnuch", "unch"])
def test_a_name_that_is_nearly_right_is_not_taken_but_understood(
    shell: Shell, private_bus: PrivateBus, name: str
) -> None:
    with daemon(private_bus, make_room()):
        result = shell.run("inbox", "read", name)
    assert result.stderr.splitlines() == [f"Error: There is no {name!r} in the inbox.", "Try: Did you mean Lunch (1)?"]


@pytest.mark.parametrize("wanted", ["", " ", "7", "!nowhere:example.org", "x", "99999999999999999999", "٣"])
def test_a_room_that_is_not_there_is_a_usage_error(shell: Shell, private_bus: PrivateBus, wanted: str) -> None:
    with daemon(private_bus, make_room()):
        result = shell.run("inbox", "open", wanted)
    assert result.exit_code == 2
    assert "in the inbox" in result.stderr


def test_what_the_daemon_cannot_do_is_told(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus, make_room()) as running:
        shell.run("inbox")
        running.answers.action_trouble = UserError("No Matrix client could be opened.", "Install one.")
        result = shell.run("inbox", "open", "1")
    assert result.exit_code == 1
    assert result.stderr == "Error: No Matrix client could be opened.\nTry: Install one.\n"


def test_without_a_daemon_nothing_is_opened(shell: Shell) -> None:
    sign_in()
    fill_ledger(ME, make_delivery("$a"))
    result = shell.run("inbox", "open", ROOM)
    assert result.exit_code == 1
    assert "not running" in result.stderr


# History


def test_history_tells_what_became_of_it_and_not_what_it_said(shell: Shell) -> None:
    sign_in()
    fill_ledger(
        ME,
        make_delivery("$a", text="secret"),
        make_delivery("$b", text="secret", sender=BOB),
        moves={"$a": Move.OPENED, "$b": Move.DISMISSED},
    )
    result = shell.run("history")
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert BOB in lines[0]
    assert "dismissed (why)" in lines[0]
    assert ALICE in lines[1]
    assert "opened (why)" in lines[1]
    assert "secret" not in result.stdout
    told = json.loads(shell.run("history", "--json", "--limit", "1").stdout)
    assert [(each["account"], each["state"], each["rule"]) for each in told] == [(ME, "dismissed", ".m.rule.message")]


def test_history_names_people_as_their_rooms_do(shell: Shell) -> None:
    sign_in()
    facts = make_facts(names={ALICE: "Alice\u202e"})
    fill_ledger(ME, make_delivery("$a"), make_delivery("$b", sender=BOB), moves={"$a": Move.OPENED}, facts=facts)
    lines = shell.run("history").stdout.splitlines()
    assert BOB in lines[0]
    assert "Alice" in lines[1]
    assert ALICE not in lines[1]
    assert [each["sender"] for each in json.loads(shell.run("history", "--json").stdout)] == [BOB, ALICE]


def wait_in_ledger(why: str = "") -> None:
    async def fill() -> None:
        ledger = await SqliteLedger.open(state_folder(ME))
        await ledger.commit(Plan("s2", deliveries=(make_delivery("$a"),)), NOON_MS)
        if why:
            await ledger.settle([Settlement(EventId("$a"), Move.FAILED, due_ms=NOON_MS, why=why)])
        await ledger.close()

    asyncio.run(fill())


@pytest.mark.parametrize(
    ("why", "quiet", "told"),
    [
        ("", "", "waits to be shown"),
        ("", "quiet hours", "held back: quiet hours"),
        ("no notification server", "quiet hours", "held back: no notification server"),
    ],
)
def test_history_says_what_holds_back_what_waits(
    shell: Shell, private_bus: PrivateBus, why: str, quiet: str, told: str
) -> None:
    sign_in()
    wait_in_ledger(why)
    with FakeDaemon(private_bus, FakeAnswers(), Summary(quiet_why=quiet)):
        assert shell.run("history").stdout.rstrip().endswith(told)


def test_history_does_not_say_twice_what_became_of_it(shell: Shell) -> None:
    sign_in()
    fill_ledger(ME, make_delivery("$a"), moves={"$a": Move.DISMISSED}, why="dismissed")
    assert shell.run("history").stdout.rstrip().endswith(f"{ALICE}  dismissed")


def test_a_conversation_keeps_its_name_in_the_history(shell: Shell) -> None:
    sign_in()
    facts = make_facts(name=None, heroes=(ALICE,), joined_member_count=2)
    content = make_content(room_title="Alice", is_direct=True)
    fill_ledger(ME, make_delivery("$a", content=content), moves={"$a": Move.OPENED}, facts=facts)
    (told,) = json.loads(shell.run("history", "--json").stdout)
    assert (told["title"], told["state"]) == ("Alice", "opened")


def test_a_room_of_which_nothing_is_known_is_named_by_its_id_in_the_history(shell: Shell) -> None:
    sign_in()
    fill_ledger(ME, make_delivery("$a"), moves={"$a": Move.OPENED}, facts=make_facts(name=None, heroes=()))
    (told,) = json.loads(shell.run("history", "--json").stdout)
    assert told["title"] == ROOM


def test_without_history_it_says_so(shell: Shell) -> None:
    sign_in()
    assert shell.run("history").stdout == "Nothing rang yet.\n"


@pytest.mark.parametrize(("words", "left"), [([], 1), (["--all"], 0)])
def test_history_is_cleared_without_a_daemon(shell: Shell, words: list[str], left: int) -> None:
    sign_in()
    fill_ledger(ME, make_delivery("$a"), make_delivery("$b"), moves={"$a": Move.OPENED, "$b": Move.DISMISSED})
    assert shell.run("history", "clear", *words).stdout == f"Forgot {2 - left} of what rang.\n"
    assert len(json.loads(shell.run("history", "--json").stdout)) == left


def test_a_running_daemon_clears_its_own_history(shell: Shell, private_bus: PrivateBus) -> None:
    with daemon(private_bus) as running:
        lock = AccountLock.take(state_folder(ME))
        result = shell.run("history", "clear", "--all")
        lock.release()
    assert result.stdout == "Forgot 3 of what rang.\n"
    assert running.answers.asked == [("erase_history", True)]


# Columns


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert list(lay_out([["1", "ab", "x"], ["10", "漢", "y"]])) == ["1   ab  x", "10  漢  y"]
    assert list(lay_out([])) == []


def test_a_line_is_cut_where_the_terminal_ends() -> None:
    (line,) = lay_out([["a", "漢漢漢漢e\u0301"]], width=8)
    assert line == "a  漢漢…"
    assert columns_of(line) <= 8


@pytest.mark.parametrize(
    ("ago_ms", "words"),
    [
        (60_000, "11:59"),
        (20 * 3_600_000, "Wed 16:00"),
        (10 * 24 * 3_600_000, "2025-11-10"),
        (-3_600_000, "2025-11-20"),
        (-(10**18), "?"),
    ],
)
def test_a_time_is_as_short_as_it_can_be(ago_ms: int, words: str, set_time_zone: Callable[[str], None]) -> None:
    set_time_zone("UTC0")
    assert word_time(NOON_MS - ago_ms, NOON_MS) == words
