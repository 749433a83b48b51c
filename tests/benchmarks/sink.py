"""A notification server that shows nothing and notes when each notification came. A process of its own.

Each Notify becomes a line of JSON on standard output; `t` is CLOCK_MONOTONIC in ns, which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque

from dbus_fast import Message, MessageType, NameFlag, RequestNameReply
from dbus_fast.aio import MessageBus

_NAME = "org.freedesktop.Notifications"
_INTROSPECTION = f"""<node><interface name="{_NAME}"><method name="Notify">
<arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="s" direction="in"/>
<arg type="s" direction="in"/><arg type="as" direction="in"/><arg type="a{{sv}}" direction="in"/>
<arg type="i" direction="in"/><arg type="u" direction="out"/></method></interface></node>"""
"""dbus-python, which matrix-commander uses, cannot call without it."""


async def main() -> None:
    bus = await MessageBus().connect()
    last_id = 0
    sending: deque[asyncio.Future[None]] = deque(maxlen=100)

    def answer(message: Message) -> Message | bool:
        nonlocal last_id
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        if message.member == "Introspect" and message.path == "/org/freedesktop/Notifications":
            return Message.new_method_return(message, "s", [_INTROSPECTION])
        if message.interface != _NAME:
            return False
        if message.member == "Notify":
            came = time.monotonic_ns()
            _, replaces, _, summary, body, *_ = message.body
            if not replaces:
                last_id += 1
            sys.stdout.write(json.dumps({"t": came, "summary": summary, "body": body}) + "\n")
            sys.stdout.flush()
            return Message.new_method_return(message, "u", [replaces or last_id])
        if message.member == "GetCapabilities":
            return Message.new_method_return(message, "as", [["body", "body-markup", "actions", "persistence"]])
        if message.member == "GetServerInformation":
            return Message.new_method_return(message, "ssss", ["sink", "benchmark", "1", "1.2"])
        if message.member == "CloseNotification":
            closed = [message.body[0], 3]
            sending.append(
                bus.send(
                    Message.new_signal("/org/freedesktop/Notifications", _NAME, "NotificationClosed", "uu", closed)
                )
            )
            return Message.new_method_return(message)
        return False

    bus.add_message_handler(answer)
    assert await bus.request_name(_NAME, NameFlag.DO_NOT_QUEUE) is RequestNameReply.PRIMARY_OWNER
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
