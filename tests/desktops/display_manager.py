"""As much of GDM as GNOME Shell asks for before it lets the screen be locked: its name on the system bus, its version.

display_manager.py
"""

from __future__ import annotations

import asyncio

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

NAME = "org.gnome.DisplayManager"
PATH = "/org/gnome/DisplayManager/Manager"
VERSION = Variant("s", "48.0")
POLICY = f"""\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <policy user="root"><allow own="{NAME}"/></policy>
  <policy context="default"><allow send_destination="{NAME}"/></policy>
</busconfig>
"""


def answer(message: Message) -> Message | None:
    """To the calls that GNOME Shell makes; None: it is none of these."""
    if message.message_type is not MessageType.METHOD_CALL or message.path != PATH:
        return None
    match message.member:
        case "GetAll":
            return Message.new_method_return(message, "a{sv}", [{"Version": VERSION}])
        case "Get":
            return Message.new_method_return(message, "v", [VERSION])
        case "RegisterSession":
            return Message.new_method_return(message)
    return None


async def main() -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    bus.add_message_handler(answer)
    await bus.request_name(NAME)
    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    asyncio.run(main())
