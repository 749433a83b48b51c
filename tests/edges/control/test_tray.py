"""The item in the tray, on a real bus, with a tray that is as strict as the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from dbus_fast import DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from fakes.tray import ITEM, FakeTray
from heliograph.control.tray import registration
from heliograph.control.tray import tray as tray_module
from heliograph.control.tray.registration import NO_TRAY, REGISTERED
from heliograph.control.tray.tray import Tray
from heliograph.core.summary.summary import UNTIL_RESUMED, RoomCount, Summary
from heliograph.core.tray.drawing import LOOKS, draw_icon
from heliograph.core.tray.item import Icon
from heliograph.core.tray.menu import Command, CommandKind
from heliograph.core.tray.situation import TraySituation
from support.builders import ALICE, ME, ROOM
from support.buses import PrivateBus
from support.waiting import until

WELL = Summary(state="connected", accounts=((ME, "connected"),))
NEWS = replace(WELL, unread=3, rooms=(RoomCount(ME, ROOM, "my_room", 3, 0, ALICE),))
MENTION = replace(NEWS, highlights=1, rooms=(RoomCount(ME, ROOM, "my_room", 3, 1, ALICE),))
OPEN_ROOM = Command(CommandKind.OPEN, ME, ROOM)


class Stage:
    """The item, and what was asked of it."""

    def __init__(self, address: str) -> None:
        self.asked: list[tuple[Command, str]] = []
        self.item = Tray(address, LOOKS["coloured"], self._take, TraySituation(NEWS))

    def _take(self, command: Command, token: str) -> None:
        self.asked.append((command, token))

    def show(self, summary: Summary, **more: Any) -> None:
        self.item.take(TraySituation(summary, **more))


@pytest.fixture
async def stage(private_bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    # On a slow machine a test would count those signals.
    monkeypatch.setattr(tray_module, "AGAIN_S", 3600.0)
    stage = Stage(private_bus.address)
    yield stage
    await stage.item.stop()


@pytest.fixture
async def tray(private_bus: PrivateBus) -> AsyncIterator[FakeTray]:
    tray = FakeTray(private_bus.address)
    await tray.start()
    yield tray
    await tray.stop()
    assert tray.faults == []


async def is_met(tray: FakeTray) -> None:
    await until(lambda: tray.lines, "the item with its menu")


async def test_the_item_is_shown_with_icon_tooltip_and_menu(stage: Stage, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    assert tray.is_visible
    assert stage.item.state == REGISTERED
    assert tray.icon == draw_icon(Icon("3"), LOOKS["coloured"], 64)
    assert tray.tooltip == "3 unread\nmy_room: 3"
    assert tray.lines == [
        "[3 unread]",
        "my_room: 3",
        "-",
        "Mark all as read",
        "-",
        "Pause for 1 h",
        "Pause until 08:00",
        "-",
        "Settings file",
        "Quit Heliograph",
    ]


async def test_a_change_is_shown_and_signalled_only_where_it_shows(stage: Stage, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    stage.show(MENTION)
    await until(lambda: tray.icon == draw_icon(Icon("3", is_urgent=True), LOOKS["coloured"], 64))
    await until(lambda: tray.lines[:2] == ["[3 unread, 1 highlight]", "my_room: 3 (1 highlight)"])
    assert tray.properties["Status"] == "NeedsAttention"
    assert tray.signals == ["NewIcon", "NewAttentionIcon", "NewToolTip", "NewStatus", "ItemsPropertiesUpdated"]
    stage.show(MENTION, is_locked=True)
    await asyncio.sleep(0.3)
    assert len(tray.signals) == 5


async def test_a_tray_that_hears_nothing_of_a_hidden_item_shows_it_right_when_it_comes_back(
    stage: Stage, tray: FakeTray
) -> None:
    stage.show(WELL)
    await stage.item.start()
    await until(lambda: tray.properties)
    assert not tray.is_visible
    stage.show(NEWS)
    await until(lambda: tray.is_visible and tray.icon == draw_icon(Icon("3"), LOOKS["coloured"], 64))
    await until(lambda: "my_room: 3" in tray.lines)
    stage.show(WELL)
    await until(lambda: not tray.is_visible)


async def test_rooms_come_and_go_in_the_menu(stage: Stage, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    lunch = tray.id_of("my_room: 3")
    stage.show(replace(NEWS, unread=4, rooms=(RoomCount(ME, "!b:x", "Bob", 1, 0), *NEWS.rooms)))
    await until(lambda: tray.lines[1:3] == ["Bob: 1", "my_room: 3"])
    assert tray.id_of("my_room: 3") == lunch
    stage.show(WELL)
    await until(lambda: tray.lines[:3] == ["[Nothing unread]", "-", "[Mark all as read]"])


async def test_fifty_messages_at_once_make_a_handful_of_signals(stage: Stage, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(4, 54):
        stage.show(replace(NEWS, unread=number))
        await asyncio.sleep(0.01)
    await until(lambda: tray.lines[0] == "[53 unread]" and tray.tooltip.startswith("53 unread"))
    # One round at the start, and one for each time that changes were gathered.
    assert tray.signals.count("NewIcon") <= 2 + (loop.time() - began) / tray_module.CHANGES_S


async def test_what_is_clicked_in_the_menu_is_asked_for(stage: Stage, tray: FakeTray) -> None:
    stage.show(replace(NEWS, paused_until_ms=UNTIL_RESUMED), quiet="paused until resumed")
    await stage.item.start()
    await is_met(tray)
    await tray.open_menu()
    await tray.choose("my_room: 3")
    await tray.choose("Mark all as read", in_group=True)
    await tray.choose("[3 unread]")
    for line in ("Pause for 1 h", "Pause until 08:00", "Resume", "Settings file", "Quit Heliograph"):
        await tray.choose(line)
    assert [command for command, _ in stage.asked] == [
        OPEN_ROOM,
        Command(CommandKind.MARK_ALL_READ),
        Command(CommandKind.PAUSE, words="1h"),
        Command(CommandKind.PAUSE, words="until 08:00"),
        Command(CommandKind.RESUME),
        Command(CommandKind.SETTINGS),
        Command(CommandKind.QUIT),
    ]


async def test_a_click_on_the_icon_opens_the_newest_room_with_the_activation_token(
    stage: Stage, tray: FakeTray
) -> None:
    await stage.item.start()
    await is_met(tray)
    await tray.click(token="token-1")
    await tray.click()
    await tray.click("SecondaryActivate", token="x" * 10_000)
    await tray.call("/StatusNotifierItem", ITEM, "Scroll", "is", 120, "vertical")
    await tray.call("/StatusNotifierItem", ITEM, "ContextMenu", "ii", 1, 1)
    assert stage.asked == [(OPEN_ROOM, "token-1"), (OPEN_ROOM, ""), (Command(CommandKind.PAUSE), "")]


async def test_a_click_while_the_menu_is_open_means_what_the_user_saw(stage: Stage, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    lunch = tray.id_of("my_room: 3")
    stage.show(replace(WELL, unread=1, rooms=(RoomCount(ME, "!b:x", "Bob", 1, 0),)))
    await until(lambda: "Bob: 1" in tray.lines)
    await tray.choose_id(lunch)
    assert stage.asked == [(OPEN_ROOM, "")]


async def test_an_opened_menu_is_of_now(stage: Stage, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    stage.show(replace(NEWS, unread=4))
    await until(lambda: tray.lines[0] == "[4 unread]")
    # Within the half second in which changes are gathered.
    stage.show(replace(WELL, unread=1, rooms=(RoomCount(ME, "!b:x", "Bob", 1, 0),)))
    await tray.open_menu()
    assert tray.lines[:2] == ["[1 unread]", "Bob: 1"]
    (is_new,) = await tray.call_menu("AboutToShow", "i", 0)
    assert is_new is False


async def test_what_is_no_entry_is_refused(stage: Stage, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    for member, signature, body in (
        ("Event", "isvu", [999, "clicked", Variant("i", 0), 0]),
        ("GetLayout", "iias", [999, -1, []]),
        ("GetProperty", "is", [999, "label"]),
        ("GetProperty", "is", [1, "icon-data"]),
        ("AboutToShow", "i", [999]),
    ):
        with pytest.raises(DBusError, match="no such"):
            await tray.call_menu(member, signature, *body)
    assert await tray.call_menu("EventGroup", "a(isvu)", [[999, "clicked", Variant("i", 0), 0]]) == [[999]]
    assert await tray.call_menu("AboutToShowGroup", "ai", [0, 999]) == [[], [999]]
    assert await tray.call_menu("GetGroupProperties", "aias", [999], []) == [[]]
    assert stage.asked == []


async def test_parts_of_the_menu_can_be_asked_for(stage: Stage, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    lunch = tray.id_of("my_room: 3")
    _, (_, _, children) = await tray.call_menu("GetLayout", "iias", 0, 0, [])
    assert children == []
    _, (entry_id, properties, _) = await tray.call_menu("GetLayout", "iias", lunch, -1, ["label"])
    assert (entry_id, properties) == (lunch, {"label": Variant("s", "my__room: 3")})
    assert await tray.call_menu("GetProperty", "is", lunch, "enabled") == [Variant("b", True)]
    (group,) = await tray.call_menu("GetGroupProperties", "aias", [], ["type"])
    assert [properties for _, properties in group if properties] == [{"type": Variant("s", "separator")}] * 4


# Trays that come and go


async def test_a_tray_that_is_slow_to_look_shows_the_item_right_all_the_same(
    stage: Stage, tray: FakeTray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tray_module, "AGAIN_S", 0.5)
    tray.is_slow = True
    stage.show(WELL)
    await stage.item.start()
    await until(lambda: tray.properties)
    stage.show(NEWS)
    await until(lambda: tray.is_visible and tray.icon == draw_icon(Icon("3"), LOOKS["coloured"], 64))


async def test_a_tray_that_comes_late_or_again_has_the_item(
    stage: Stage, private_bus: PrivateBus, tray: FakeTray
) -> None:
    await tray.stop()
    await stage.item.start()
    assert stage.item.state == NO_TRAY
    for _ in range(2):
        await tray.start()
        await is_met(tray)
        assert stage.item.state == REGISTERED
        await tray.stop()
        await until(lambda: stage.item.state == NO_TRAY)
    # What changed while there was no tray is there at once.
    stage.show(MENTION)
    await tray.start()
    await until(lambda: tray.properties.get("Status") == "NeedsAttention")


async def test_a_tray_that_refuses_is_asked_again(
    stage: Stage, tray: FakeTray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "FIRST_DELAY_S", 0.05)
    tray.refusals = 3
    await stage.item.start()
    await until(lambda: stage.item.state.startswith("refused by the tray: "))
    assert stage.item.state.endswith(": The tray is full")
    await is_met(tray)
    assert len(tray.registered) == 4


async def test_a_tray_that_goes_on_refusing_is_left_alone(
    stage: Stage, tray: FakeTray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "FIRST_DELAY_S", 0.001)
    tray.refusals = 1000
    await stage.item.start()
    await until(lambda: len(tray.registered) == registration.TRIES)
    await asyncio.sleep(0.3)
    assert len(tray.registered) == registration.TRIES
    assert stage.item.state.startswith("refused by the tray: ")
    # Another one that starts is asked again.
    await tray.stop()
    tray.refusals = 0
    await tray.start()
    await is_met(tray)


async def test_the_item_is_back_when_the_bus_is(stage: Stage, private_bus: PrivateBus, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    await asyncio.to_thread(private_bus.stop)
    await tray.stop()
    await until(lambda: stage.item.state == NO_TRAY)
    stage.show(MENTION)
    await asyncio.to_thread(private_bus.start)
    await tray.start()
    await until(lambda: tray.properties.get("Status") == "NeedsAttention" and tray.lines)
    assert tray.icon == draw_icon(Icon("3", is_urgent=True), LOOKS["coloured"], 64)


async def test_a_stopped_item_is_gone(stage: Stage, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    await stage.item.stop()
    await until(lambda: not tray.service)


async def test_without_a_bus_nothing_is_shown_and_nothing_fails(stage: Stage) -> None:
    item = Tray("unix:path=/nonexistent", LOOKS["light"], lambda command, token: None, TraySituation())
    await item.start()
    item.take(TraySituation(NEWS))
    assert item.state == NO_TRAY
    await item.stop()


# Callers


async def test_a_program_in_a_sandbox_can_look_and_not_click(
    stage: Stage, tray: FakeTray, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.item.start()
    await is_met(tray)
    monkeypatch.setattr("heliograph.control.peers.find_sandbox", lambda *_: "Flatpak")
    with pytest.raises(DBusError, match="sandbox"):
        await tray.choose("Quit Heliograph")
    with pytest.raises(DBusError, match="sandbox"):
        await tray.choose("Quit Heliograph", in_group=True)
    with pytest.raises(DBusError, match="sandbox"):
        await tray.click()
    await tray.call_menu("AboutToShow", "i", 0)
    assert stage.asked == []


async def test_a_stranger_is_not_taken_for_the_bus(stage: Stage, private_bus: PrivateBus, tray: FakeTray) -> None:
    await stage.item.start()
    await is_met(tray)
    stranger = await MessageBus(bus_address=private_bus.address).connect()
    lie = Message(
        message_type=MessageType.SIGNAL,
        destination=tray.service,
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member="NameOwnerChanged",
        signature="sss",
        body=["org.kde.StatusNotifierWatcher", "", stranger.unique_name],
    )
    await stranger.send(lie)
    await tray.open_menu()
    assert stage.item.state == REGISTERED
    assert len(tray.registered) == 1
    stranger.disconnect()
