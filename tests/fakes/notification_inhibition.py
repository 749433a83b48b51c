"""How notification servers tell of "do not disturb", each in its own way. `told` is as in `Profile.told`."""

from __future__ import annotations

from dbus_fast import Message, MessageType, Variant

_NAME, _PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_INHIBITIONS = {"Inhibited": (_NAME, "Inhibited"), "paused": ("org.dunstproject.cmd0", "paused")}
_SWAYNC = ("/org/erikreider/swaync/cc", "org.erikreider.swaync.cc")
_MAKO = ("/fr/emersion/Mako", "fr.emersion.Mako")
BUDGIE_NAME = "org.budgie_desktop.Notifications"
_BUDGIE = ("/org/budgie_desktop/Notifications", "org.buddiesofbudgie.budgie.Dispatcher")


def inhibition_signal(told: str, *, is_on: bool, count: int) -> Message | None:
    """What is signalled when it is switched; None: nothing, as by mako to 1.9. `count`: notifications in the list."""
    if told in _INHIBITIONS:
        interface, name = _INHIBITIONS[told]
        changed = [interface, {name: Variant("b", is_on)}, []]
        return Message.new_signal(_PATH, _PROPERTIES, "PropertiesChanged", "sa{sv}as", changed)
    if told == "budgie":
        return Message.new_signal(*_BUDGIE, "DoNotDisturbChanged", "b", [is_on])
    if told == "swaync":
        return Message.new_signal(*_SWAYNC, "SubscribeV2", "ubbb", [count, is_on, False, False])
    return None


def inhibition_answer(message: Message, told: str, *, is_on: bool, count: int) -> Message | None:
    """The answer to the question whether it is on; None: the message is no such question."""
    if message.message_type is not MessageType.METHOD_CALL:
        return None
    if message.interface == _PROPERTIES and message.member == "Get":
        is_asked = tuple(message.body) == _INHIBITIONS.get(told)
        return Message.new_method_return(message, "v", [Variant("b", is_on)]) if is_asked else None
    match told, (message.path, message.interface, message.member):
        case "swaync", (*place, "GetSubscribeData") if tuple(place) == _SWAYNC:
            return Message.new_method_return(message, "(bbub)", [[is_on, False, count, False]])
        case "budgie", (*place, "GetDoNotDisturb") if tuple(place) == _BUDGIE:
            return Message.new_method_return(message, "b", [is_on])
        case "mako", (*place, "ListModes") if tuple(place) == _MAKO:
            return Message.new_method_return(message, "as", [["default", *(["do-not-disturb"] if is_on else [])]])
    return None
