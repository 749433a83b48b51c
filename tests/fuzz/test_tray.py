"""Whatever another program of the user calls on the tray item and its menu has an answer or an error."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant

from fakes.tray import ITEM, MENU, FakeTray
from heliograph.control.tray import ITEM_PATH, MENU_PATH
from heliograph.control.tray.tray import Tray
from heliograph.core.summary.summary import RoomCount, Summary
from heliograph.core.tray.drawing import LOOKS
from heliograph.core.tray.menu import Command
from heliograph.core.tray.situation import TraySituation
from support.builders import ME, ROOM
from support.buses import PrivateBus
from support.waiting import until

SEED = 21
SHORT, WHOLE = 500, 20_000
NEWS = Summary("connected", ((ME, "connected"),), unread=1, rooms=(RoomCount(ME, ROOM, "Lunch", 1, 0),))
CALLS = (
    *((ITEM_PATH, ITEM, member, "ii") for member in ("Activate", "SecondaryActivate", "ContextMenu")),
    (ITEM_PATH, ITEM, "Scroll", "is"),
    (ITEM_PATH, ITEM, "ProvideXdgActivationToken", "s"),
    (MENU_PATH, MENU, "GetLayout", "iias"),
    (MENU_PATH, MENU, "GetGroupProperties", "aias"),
    (MENU_PATH, MENU, "GetProperty", "is"),
    (MENU_PATH, MENU, "Event", "isvu"),
    (MENU_PATH, MENU, "EventGroup", "a(isvu)"),
    (MENU_PATH, MENU, "AboutToShow", "i"),
    (MENU_PATH, MENU, "AboutToShowGroup", "ai"),
    (ITEM_PATH, "org.freedesktop.DBus.Properties", "GetAll", "s"),
    (MENU_PATH, "org.freedesktop.DBus.Properties", "Set", "ssv"),
)
KINDS = {"iias": ("i", "i", "as"), "aias": ("ai", "as"), "a(isvu)": ("a(isvu)",), "ai": ("ai",)}
TEXTS = ("", "clicked", "opened", "label", "type", ITEM, MENU, "\u202e", "x" * 70_000)
NUMBERS = (0, 1, 2, 5, 8, -1, 999, 2**31 - 1, -(2**31))


@pytest.fixture
async def tray(private_bus: PrivateBus) -> AsyncIterator[FakeTray]:
    asked: list[Command] = []
    item = Tray(private_bus.address, LOOKS["dark"], lambda command, _: asked.append(command), TraySituation(NEWS))
    tray = FakeTray(private_bus.address)
    await tray.start()
    await item.start()
    await until(lambda: tray.lines, "the item")
    yield tray
    await item.stop()
    await tray.stop()


async def test_any_call_is_answered(tray: FakeTray, is_long: bool) -> None:
    dice = random.Random(SEED)
    done, refused = 0, 0
    for _ in range(WHOLE if is_long else SHORT):
        path, interface, member, signature = dice.choice(CALLS)
        if dice.random() < 0.2:
            signature = dice.choice(CALLS)[3]
        body = [_value(kind, dice) for kind in KINDS.get(signature, tuple(signature))]
        call = Message(tray.service, path, interface, member, signature=signature, body=body)
        reply = await asyncio.wait_for(tray.send(call), 20)
        if reply.message_type is MessageType.ERROR:
            assert "Traceback" not in str(reply.body)
            refused += 1
        else:
            done += 1
    assert min(done, refused) > 50, (done, refused)
    # It is as it was.
    assert (await tray.call_menu("GetProperty", "is", tray.id_of("Lunch: 1"), "label"))[0] == Variant("s", "Lunch: 1")
    assert tray.faults == []


def _value(kind: str, dice: random.Random) -> Any:
    text, number = dice.choice(TEXTS), dice.choice(NUMBERS)
    values: dict[str, Any] = {
        "s": text,
        "i": number,
        "u": abs(number),
        "v": Variant("s", text),
        "as": [text] * dice.randrange(3),
        "ai": [number] * dice.randrange(100),
        "a(isvu)": [[number, text, Variant("i", number), 0]] * dice.randrange(100),
    }
    return values[kind]
