"""Whatever another program of the user calls on the daemon's D-Bus interface has an answer or an error."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from edges.app.test_daemon_api import Reception
from edges.loops.stage import WallClock
from heliograph.control import BUS_NAME, INTERFACE, OBJECT_PATH
from heliograph.control.service import Control
from support.builders import ALICE, ME, ROOM, make_delivery
from support.buses import PrivateBus

SEED = 20
SHORT, WHOLE = 500, 20_000
METHODS = {
    **{
        "Status": "",
        "Inbox": "",
        "Open": "sss",
        "MarkRead": "ss",
        "MarkAllRead": "",
        "Accept": "ss",
        "Decline": "ss",
        "Reply": "sss",
        "Pause": "s",
        "PauseEverywhere": "s",
        "Resume": "",
    },
    **{"EraseHistory": "b", "Set": "ssv", "GetAll": "s", "Rang": "sssssb"},
}
PROPERTIES = "org.freedesktop.DBus.Properties"
TEXTS = (
    "",
    " ",
    ME,
    ALICE,
    ROOM,
    "!gone:x",
    "1h",
    "until 08:00",
    "99999999999d",
    "-1s",
    "\u202e",
    "x" * 70_000,
    "../..",
)
SIGNATURES = ("", "s", "ss", "sss", "b", "u", "x", "as", "a{sv}", "v", "sssss")


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
async def caller(private_bus: PrivateBus, clock: WallClock) -> AsyncIterator[MessageBus]:
    reception = Reception(clock)
    control = Control(reception.api)
    bus = await MessageBus(bus_address=private_bus.address).connect()
    async with reception.open():
        await reception.mine.commit(make_delivery("$a"))
        await control.start()
        yield bus
        await control.stop()
    bus.disconnect()


async def test_any_call_is_answered(caller: MessageBus, is_long: bool) -> None:
    dice = random.Random(SEED)
    done, refused = 0, 0
    for _ in range(WHOLE if is_long else SHORT):
        member = dice.choice(list(METHODS))
        signature = METHODS[member] if dice.random() < 0.7 else dice.choice(SIGNATURES)
        reply = await asyncio.wait_for(
            caller.call(
                Message(
                    destination=BUS_NAME,
                    path=dice.choice((OBJECT_PATH,) * 9 + ("/",)),
                    interface=dice.choice((INTERFACE,) * 9 + (PROPERTIES,)),
                    member=member,
                    signature=signature,
                    body=[_value(each, dice) for each in _types(signature)],
                )
            ),
            20,
        )
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            assert "Traceback" not in str(reply.body)
            refused += 1
        else:
            done += 1
    assert min(done, refused) > 50, (done, refused)
    status = await caller.call(Message(BUS_NAME, OBJECT_PATH, INTERFACE, "Status"))
    assert status is not None
    assert len(json.loads(status.body[0])["accounts"]) == 2


def _types(signature: str) -> list[str]:
    return [signature] if signature.startswith("a") else list(signature)


def _value(kind: str, dice: random.Random) -> Any:
    text = dice.choice(TEXTS)
    values: dict[str, Any] = {
        "s": text,
        "b": dice.random() < 0.5,
        "u": dice.randrange(2**32),
        "x": dice.randrange(-(2**63), 2**63),
        "as": [text, text],
        "a{sv}": {text: Variant("s", text)},
        "v": Variant("s", text),
    }
    return values[kind]
