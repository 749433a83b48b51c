from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType, NameFlag, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.introspection import Node

from conftest import Home
from fakes.answers import FakeAnswers
from heliograph.control import BUS_NAME, INTERFACE, OBJECT_PATH, client, service
from heliograph.control.client import ask, ask_inbox, ask_status
from heliograph.control.properties import from_properties, to_properties
from heliograph.control.service import Control
from heliograph.control.watch import Watch
from heliograph.core.summary.summary import UNTIL_RESUMED, RoomCount, Summary
from heliograph.errors import HeliographError, StorageError, UserError
from support.builders import ALICE, ME, ROOM, make_content, make_delivery
from support.buses import PrivateBus
from support.waiting import until

STATUS = {"version": "1", "accounts": [{"user_id": "@me:example.org", "why": "ü\u202e\n"}]}


@pytest.fixture
async def control(private_bus: PrivateBus) -> AsyncIterator[Control]:
    control = Control(FakeAnswers(STATUS))
    await control.start()
    yield control
    await control.stop()


@pytest.fixture
async def other(private_bus: PrivateBus) -> AsyncIterator[MessageBus]:
    bus = await MessageBus(bus_address=private_bus.address).connect()
    yield bus
    bus.disconnect()


async def ask_until(is_right: Any) -> dict[str, Any] | None:
    async with asyncio.timeout(20):
        while True:
            status = await ask_status()
            if is_right(status):
                return status
            await asyncio.sleep(0.05)


async def test_the_daemon_tells_its_status(control: Control) -> None:
    assert await ask_status() == STATUS


async def test_the_status_is_of_the_moment_of_asking(private_bus: PrivateBus) -> None:
    status: dict[str, Any] = {"pending": 1}
    control = Control(FakeAnswers(status))
    await control.start()
    status["pending"] = 2
    assert await ask_status() == {"pending": 2}
    await control.stop()


async def test_a_stopped_daemon_does_not_answer(control: Control) -> None:
    await control.stop()
    assert await ask_status() is None


async def test_without_a_daemon_there_is_no_answer(private_bus: PrivateBus) -> None:
    assert await ask_status() is None


@pytest.mark.parametrize("address", ["", "nonsense", "unix:path=/nonexistent"])
async def test_without_a_bus_both_sides_are_quiet(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    control = Control(FakeAnswers(STATUS))
    await control.start()
    assert await ask_status() is None
    await control.stop()


async def test_a_second_daemon_leaves_the_name_and_takes_it_over(control: Control) -> None:
    second = Control(FakeAnswers({"version": "2"}))
    await second.start()
    assert await ask_status() == STATUS
    await control.stop()
    assert await ask_until(lambda status: status is not None) == {"version": "2"}
    await second.stop()


async def test_the_daemon_is_back_when_the_bus_is(
    control: Control, private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_FIRST_DELAY_S", 0.05)
    await asyncio.to_thread(private_bus.stop)
    assert await ask_status() is None
    await asyncio.to_thread(private_bus.start)
    assert await ask_until(lambda status: status is not None) == STATUS


async def test_a_thousand_signals_at_once_all_arrive(control: Control, other: MessageBus) -> None:
    heard: list[str] = []

    def listen(message: Message) -> None:
        if message.member == "Rang":
            heard.append(message.body[2])

    other.add_message_handler(listen)
    match = Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member="AddMatch",
        signature="s",
        body=[f"type='signal',interface='{INTERFACE}'"],
    )
    await other.call(match)
    for number in range(1000):
        control.tell_rang(ME, make_delivery(f"${number}", content=make_content()))
    await until(lambda: len(heard) == 1000, "the signals")
    assert heard == [f"${number}" for number in range(1000)]
    assert await ask_status() == STATUS


async def test_a_bus_that_dies_under_a_signal_is_nothing_to_whoever_tells(
    control: Control, private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_FIRST_DELAY_S", 0.05)
    # Without a turn of the event loop in between, in which the end would be noticed.
    private_bus.stop()
    control.tell_rang(ME, make_delivery("$a", content=make_content()))
    control.publish(Summary(unread=7))
    await asyncio.to_thread(private_bus.start)
    assert await ask_until(lambda status: status is not None) == STATUS


async def test_a_daemon_that_does_not_answer_is_given_up(other: MessageBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TIMEOUT_S", 0.1)
    other.add_message_handler(lambda message: message.message_type is MessageType.METHOD_CALL)
    await other.request_name(BUS_NAME, NameFlag.DO_NOT_QUEUE)
    assert await ask_status() is None


@pytest.mark.parametrize(
    ("signature", "body"),
    [("s", ["not json"]), ("s", ["[]"]), ("s", ["[" * 100_000]), ("u", [3]), ("", []), ("s", ['"' + "x" * 2_000_000])],
)
async def test_an_answer_that_is_none_is_not_taken_for_one(other: MessageBus, signature: str, body: list[Any]) -> None:
    def answer(message: Message) -> Message | None:
        if message.message_type is MessageType.METHOD_CALL:
            return Message.new_method_return(message, signature, body)
        return None

    other.add_message_handler(answer)
    await other.request_name(BUS_NAME, NameFlag.DO_NOT_QUEUE)
    assert await ask_status() is None


@pytest.mark.expected_log("Service interface raised an exception")
async def test_a_status_that_cannot_be_made_does_not_end_the_daemon(private_bus: PrivateBus) -> None:
    answers: list[Any] = [object(), {"version": "1"}]
    control = Control(FakeAnswers(lambda: answers.pop(0)))
    await control.start()
    assert await ask_status() is None
    assert await ask_status() == {"version": "1"}
    await control.stop()


# Asking for something


async def test_what_is_asked_for_reaches_the_daemon(private_bus: PrivateBus) -> None:
    answers = FakeAnswers(inbox={"rooms": []})
    control = Control(answers)
    await control.start()
    assert await ask("Pause", "s", "1h") == UNTIL_RESUMED
    assert await ask("PauseEverywhere", "s", "2h") == UNTIL_RESUMED
    assert await ask("Resume") is None
    await ask("Open", "sss", ME, ROOM, "token")
    await ask("MarkRead", "ss", ME, ROOM)
    assert await ask("MarkAllRead") == 2
    await ask("Accept", "ss", ME, ROOM)
    await ask("Decline", "ss", ME, ROOM)
    await ask("Reply", "sss", ME, ROOM, "yes")
    assert await ask("EraseHistory", "b", True) == 3
    assert await ask_inbox() == {"rooms": []}
    await control.stop()
    assert answers.asked == [
        ("pause", "1h"),
        ("pause everywhere", "2h"),
        ("resume",),
        ("open", ME, ROOM, "token"),
        ("mark_read", ME, ROOM),
        ("mark_all_read",),
        ("accept", ME, ROOM),
        ("decline", ME, ROOM),
        ("reply", ME, ROOM, "yes"),
        ("erase_history", True),
        ("inbox",),
    ]


@pytest.mark.parametrize(
    ("trouble", "title", "hint"),
    [
        (UserError("It is not so.", "Do that."), "It is not so.", "Do that."),
        (StorageError("disk full"), "It did not work: disk full.", "Try again later."),
    ],
)
async def test_what_cannot_be_done_is_told_as_it_is(
    private_bus: PrivateBus, trouble: HeliographError, title: str, hint: str
) -> None:
    answers = FakeAnswers()
    answers.trouble = trouble
    control = Control(answers)
    await control.start()
    with pytest.raises(UserError) as told:
        await ask("Resume")
    await control.stop()
    assert (told.value.title, told.value.hint) == (title, hint)


@pytest.mark.parametrize("text", ["", " \n", "x" * 65_537])
async def test_a_reply_that_is_none_or_too_long_is_not_passed_on(private_bus: PrivateBus, text: str) -> None:
    answers = FakeAnswers()
    control = Control(answers)
    await control.start()
    with pytest.raises(UserError):
        await ask("Reply", "sss", ME, ROOM, text)
    await control.stop()
    assert answers.asked == []


@pytest.mark.expected_log("Service interface raised an exception")
async def test_a_fault_of_our_own_tells_nothing_of_itself(private_bus: PrivateBus) -> None:
    control = Control(FakeAnswers(status=lambda: 1 / 0))
    await control.start()
    with pytest.raises(UserError, match="did not do it"):
        await ask("Status")
    await control.stop()


async def test_asking_without_a_daemon_says_how_to_start_it(private_bus: PrivateBus) -> None:
    with pytest.raises(UserError, match="not running") as told:
        await ask("Resume")
    assert told.value.hint == "heliograph run"


async def test_a_daemon_that_goes_before_its_answer_is_not_running(private_bus: PrivateBus) -> None:
    bus = await MessageBus(bus_address=private_bus.address).connect()
    await bus.request_name(BUS_NAME)

    def go_when_asked(message: Message) -> bool:
        if is_asked := message.member == "Resume":
            bus.disconnect()
        return is_asked

    bus.add_message_handler(go_when_asked)
    with pytest.raises(UserError, match="not running"):
        await ask("Resume")


async def test_asking_without_a_bus_says_that_nothing_runs(home: Home) -> None:
    with pytest.raises(UserError, match="not running"):
        await ask("Resume")


# What it tells by itself

SUMMARY = Summary(
    state="connected",
    accounts=((ME, "connected"),),
    unread=3,
    highlights=1,
    rooms=(RoomCount(ME, ROOM, "Lunch <b>", 3, 1),),
    paused_until_ms=UNTIL_RESUMED,
    quiet_why="paused",
    quiet_until_ms=UNTIL_RESUMED,
    is_quiet_everywhere=True,
    notification_server="dunst 1.9.0",
)


@pytest.fixture
async def told(private_bus: PrivateBus) -> AsyncIterator[list[Summary | None]]:
    heard: list[Summary | None] = []
    watch = Watch(private_bus.address, heard.append)
    await watch.start()
    yield heard
    await watch.stop()


async def test_a_watcher_hears_of_start_change_and_end(private_bus: PrivateBus, told: list[Summary | None]) -> None:
    control = Control(FakeAnswers())
    control.publish(SUMMARY)
    await control.start()
    await until(lambda: told[-1] == SUMMARY)
    control.publish(replace(SUMMARY, unread=4))
    await until(lambda: told[-1] == replace(SUMMARY, unread=4))
    await control.stop()
    await until(lambda: told[-1] is None)
    assert told == [None, SUMMARY, replace(SUMMARY, unread=4), None]


async def test_a_watcher_hears_of_a_daemon_that_was_there_before(private_bus: PrivateBus) -> None:
    control = Control(FakeAnswers())
    control.publish(SUMMARY)
    await control.start()
    heard: list[Summary | None] = []
    watch = Watch(private_bus.address, heard.append)
    await watch.start()
    await until(lambda: heard == [SUMMARY])
    await watch.stop()
    await control.stop()


async def test_a_watcher_outlives_the_bus(
    private_bus: PrivateBus, told: list[Summary | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_FIRST_DELAY_S", 0.05)
    control = Control(FakeAnswers())
    await control.start()
    await until(lambda: told[-1] == Summary())
    await asyncio.to_thread(private_bus.stop)
    await until(lambda: told[-1] is None)
    control.publish(SUMMARY)
    await asyncio.to_thread(private_bus.start)
    await until(lambda: told[-1] == SUMMARY)
    await control.stop()


async def test_strangers_are_not_taken_for_the_daemon(
    private_bus: PrivateBus, told: list[Summary | None], other: MessageBus
) -> None:
    control = Control(FakeAnswers())
    await control.start()
    await until(lambda: told[-1] == Summary())
    watcher = [name for name in await names_on(other) if name.startswith(":")]
    for name in watcher:
        lie = Message.new_signal(
            "/io/github/heliograph",
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            "sa{sv}as",
            ["io.github.heliograph.Daemon1", {"Unread": Variant("u", 99)}, []],
        )
        lie.destination = name
        await other.send(lie)
    control.publish(SUMMARY)
    await until(lambda: told[-1] == SUMMARY)
    await control.stop()
    assert 99 not in [each.unread for each in told if each is not None]


async def names_on(bus: MessageBus) -> list[str]:
    reply = await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="ListNames",
        )
    )
    assert reply is not None
    return list(reply.body[0])


@pytest.mark.parametrize(
    ("properties", "summary"),
    [
        ({}, Summary()),
        ({"Unread": "many", "State": 3, "Rooms": 7, "Accounts": []}, Summary()),
        (
            {"Rooms": [[1, 2], ["@a:b", "!r", "T", "x", None], None]},
            Summary(rooms=(RoomCount("@a:b", "!r", "T", 0, 0),)),
        ),
        (to_properties(SUMMARY), SUMMARY),
    ],
)
def test_properties_of_another_version_are_read_as_far_as_they_go(properties: dict[str, Any], summary: Summary) -> None:
    assert from_properties(properties) == summary


async def hear(bus: MessageBus, rule: str) -> list[Message]:
    """The signals that match, from now on."""
    heard: list[Message] = []
    bus.add_message_handler(
        lambda message: heard.append(message) if message.message_type is MessageType.SIGNAL else None
    )
    await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="AddMatch",
            signature="s",
            body=[rule],
        )
    )
    return heard


async def test_what_rings_is_told_without_what_it_says(control: Control, other: MessageBus) -> None:
    heard = await hear(other, "type='signal',interface='io.github.heliograph.Daemon1'")
    control.tell_rang(ME, make_delivery("$a", content=make_content("secret", is_highlight=True)))
    await until(lambda: [message for message in heard if message.member == "Rang"])
    (rang,) = [message for message in heard if message.member == "Rang"]
    assert rang.body == [ME, ROOM, "$a", "Lunch", ALICE, True]


async def test_docks_are_told_the_number_and_that_it_is_gone(private_bus: PrivateBus, other: MessageBus) -> None:
    heard = await hear(other, "type='signal',interface='com.canonical.Unity.LauncherEntry'")
    control = Control(FakeAnswers(), badge_on="element-desktop.desktop")
    control.publish(SUMMARY)
    await control.start()
    control.publish(replace(SUMMARY, state="offline"))
    control.publish(replace(SUMMARY, unread=0, highlights=0))
    await control.stop()

    def numbers() -> list[tuple[str, int, bool, bool]]:
        bodies = [message.body for message in heard if message.member == "Update"]
        return [
            (uri, values["count"].value, values["count-visible"].value, values["urgent"].value)
            for uri, values in bodies
        ]

    uri = "application://element-desktop.desktop"
    await until(lambda: len(numbers()) == 3)
    assert numbers() == [(uri, 3, True, True), (uri, 0, False, False), (uri, 0, False, False)]


async def test_the_number_moves_to_another_icon(private_bus: PrivateBus, other: MessageBus) -> None:
    heard = await hear(other, "type='signal',interface='com.canonical.Unity.LauncherEntry'")
    control = Control(FakeAnswers(), badge_on="one.desktop")
    control.publish(SUMMARY)
    await control.start()
    for badge_on in ("other.desktop", "other.desktop", ""):
        control.move_badge(badge_on)

    def numbers() -> list[tuple[str, int]]:
        bodies = [message.body for message in heard if message.member == "Update"]
        return [(uri, values["count"].value) for uri, values in bodies]

    await until(lambda: len(numbers()) == 4)
    assert numbers() == [
        ("application://one.desktop", 3),
        ("application://one.desktop", 0),
        ("application://other.desktop", 3),
        ("application://other.desktop", 0),
    ]
    await control.stop()


async def test_a_dock_that_comes_later_is_told_the_number_then(private_bus: PrivateBus, other: MessageBus) -> None:
    control = Control(FakeAnswers(), badge_on="x.desktop")
    control.publish(SUMMARY)
    await control.start()
    heard = await hear(other, "type='signal',interface='com.canonical.Unity.LauncherEntry'")
    await other.request_name("com.canonical.Unity", NameFlag.DO_NOT_QUEUE)
    await until(lambda: [message for message in heard if message.member == "Update"])
    await control.stop()


async def test_without_a_badge_no_dock_is_told(private_bus: PrivateBus, other: MessageBus) -> None:
    heard = await hear(other, "type='signal'")
    control = Control(FakeAnswers())
    await control.start()
    control.publish(SUMMARY)
    await until(lambda: [message for message in heard if message.member == "PropertiesChanged"])
    await control.stop()
    assert [message for message in heard if message.member == "Update"] == []


# Its description


async def introspect(bus: MessageBus) -> Node:
    return await bus.introspect(BUS_NAME, OBJECT_PATH)


async def test_every_member_is_documented_with_its_types(control: Control, other: MessageBus) -> None:
    text = (Path(__file__).parents[3] / "docs/d-bus.md").read_text()
    node = await introspect(other)
    (interface,) = [each for each in node.interfaces if each.name == INTERFACE]
    for method in interface.methods:
        taken = ", ".join(f"{arg.type.signature} {arg.name}" for arg in method.in_args)
        given = ", ".join(arg.type.signature for arg in method.out_args)
        assert f"`{method.name}({taken})`" + (f" → `{given}`" if given else "") in text
    for property in interface.properties:
        assert f"| `{property.name}` | `{property.signature}` |" in text
    assert [signal.name for signal in interface.signals] == ["Rang"]
    assert len(interface.methods) == 12


@pytest.mark.expected_log("D-Bus service crashed")
async def test_a_fault_of_our_own_takes_the_daemon_off_the_bus_for_a_while_only(
    private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [RuntimeError("a fault")]
    take_name = Control._take_name

    async def take_or_fail(control: Control, bus: MessageBus) -> None:
        if faults:
            raise faults.pop()
        await take_name(control, bus)

    monkeypatch.setattr(Control, "_take_name", take_or_fail)
    control = Control(FakeAnswers(STATUS))
    await control.start()
    assert await ask_status() is None
    assert await ask_until(lambda status: status is not None) == STATUS
    await control.stop()
