"""One life of a notification server: who it is, what it can do, and what its signals mean."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import replace
from typing import TypeVar

from dbus_fast import Message

from heliograph.core.notification import Activated, Closed, Closing, Popup, Replied
from heliograph.core.popups.actions import INLINE_REPLY
from heliograph.core.popups.profile import SAFE, Expiry, ServerProfile
from heliograph.core.popups.profiles import choose_profile
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type
from heliograph.desktop.echoes import Echoes
from heliograph.desktop.failures import is_passing
from heliograph.system.dbus import Bus, CallFailed

log = logging.getLogger(__name__)

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
INTERFACE = "org.freedesktop.Notifications"

_LEAST_CAPABILITIES = frozenset({"body"})
"""What a server can do that refuses to tell: all show text without markup right."""
_UNNAMED = "an unnamed server"
_REMEMBERED = 64

T = TypeVar("T")


@value_type
class Traits:
    """What a server says of itself."""

    title: str
    """Name and version, for people."""
    capabilities: frozenset[str]
    profile: ServerProfile = SAFE
    """What is known of servers of its kind."""
    hint: str = ""
    """What the user may do so that it does more; "": there is nothing."""


class Server:
    """A notification server, from when it took its name on the bus to when it loses it. Its ids mean nothing beyond."""

    def __init__(self, *, life: str, owner: str) -> None:
        self.life = life
        """The bus's id and `owner`: no other server has the same, also on another bus. Once `traits` has returned, also
        our own name on the bus, if the server drops what we have shown when our connection ends."""
        self.owner = owner
        """The server's unique name on the bus."""
        self.known_traits: Traits | None = None
        """What the server says of itself; None until it has answered."""
        self._asking = asyncio.Lock()
        self._echoes = Echoes()
        self._tokens: OrderedDict[int, str] = OrderedDict()
        self._abandoned: OrderedDict[int, int] = OrderedDict()
        self._expired: OrderedDict[int, None] = OrderedDict()
        """Ids of what expired, and by the profile is gone."""

    async def traits(self, bus: Bus) -> Traits:
        """What the server says of itself. It is asked until it has answered once, by one caller at a time. Raises
        BusGone or CallFailed; the caller sets the time-out."""
        async with self._asking:
            if self.known_traits is None:
                name, title = await self._ask_name(bus)
                capabilities = await self._ask_capabilities(bus)
                profile, hint = choose_profile(name, capabilities), ""
                if profile.is_reply_configured:
                    from heliograph.desktop import swaync_config

                    if not await asyncio.to_thread(swaync_config.lets_reply):
                        capabilities, hint = capabilities - {INLINE_REPLY}, swaync_config.HINT
                if profile.forgets_with_program:
                    self.life = f"{self.life}{bus.unique_name}"
                self.known_traits = Traits(title, capabilities, profile, hint)
            return self.known_traits

    def note_shown(self, popup_id: int) -> None:
        """Notes that Notify was answered with this id: from now on its signals are no echoes."""
        self._echoes.forget(popup_id)

    def note_withdrawn(self, popup_id: int) -> None:
        """Notes that we close this popup to show its contents in another: that it closed is told to nobody."""
        self._echoes.is_echo(popup_id, "closed")

    def note_abandoned(self, serial: int, replaces_id: int) -> None:
        """The caller of the Notify with this serial gave up waiting."""
        _remember(self._abandoned, serial, replaces_id)

    def late_popup(self, reply: Message) -> int | None:
        """If this is the late answer to a Notify whose caller gave up: the id of the popup that came up, unless it only
        replaced another. Else None."""
        replaces_id = self._abandoned.pop(reply.reply_serial, None)
        if replaces_id is None or reply.signature != "u" or reply.body[0] == replaces_id:
            return None
        return int(reply.body[0])

    def interpret(self, signal: Message) -> Activated | Replied | Closed | None:
        """What this signal of the server says; None: nothing, or what an earlier copy of it has said."""
        match signal.member, signal.signature:
            case "ActivationToken", "us":
                # Comes before the ActionInvoked that it belongs to.
                popup_id, token = signal.body
                _remember(self._tokens, popup_id, token)
            case "ActionInvoked", "us":
                popup_id, action = signal.body
                self._look_at_expired(popup_id)
                if not self._echoes.is_echo(popup_id, f"action {action}"):
                    return Activated(Popup(self.life, popup_id), action, self._tokens.pop(popup_id, None))
            case "NotificationReplied", "us":
                popup_id, text = signal.body
                self._look_at_expired(popup_id)
                self._tokens.pop(popup_id, None)
                if not self._echoes.is_echo(popup_id, f"reply {text}"):
                    return Replied(Popup(self.life, popup_id), text)
            case "NotificationClosed", "uu":
                popup_id, reason = signal.body
                self._tokens.pop(popup_id, None)
                if reason == Closing.EXPIRED.value:
                    if self._profile.expiry is Expiry.LISTED:
                        # Still there to be read and clicked.
                        # Test: test_what_expired_is_closed_and_changed_in_the_history.
                        return None
                    _remember(self._expired, popup_id, None)
                if not self._echoes.is_echo(popup_id, "closed"):
                    return Closed(Popup(self.life, popup_id), _closing(reason))
        return None

    @property
    def _profile(self) -> ServerProfile:
        return SAFE if self.known_traits is None else self.known_traits.profile

    def _look_at_expired(self, popup_id: int) -> None:
        """The user acted upon this popup: if it had expired, it is in a list that we knew nothing of.
        Test: test_a_server_that_is_seen_to_keep_a_list_is_taken_to_have_one."""
        if self.known_traits is not None and popup_id in self._expired:
            log.info("%s keeps what expired in a list", self.known_traits.title)
            profile = replace(self._profile, expiry=Expiry.LISTED)
            self.known_traits = replace(self.known_traits, profile=profile)

    async def _ask_name(self, bus: Bus) -> tuple[str, str]:
        """Its name, and its name and version for people."""
        try:
            reply = await bus.call(self.owner, PATH, INTERFACE, "GetServerInformation")
        except CallFailed as error:
            if is_passing(error.name):
                raise
            return "", _UNNAMED
        if reply.signature[:3] != "sss":
            return "", _UNNAMED
        name, _, version = reply.body[:3]
        name = clean_line(name, 40)
        return name, f"{name} {clean_line(version, 40)}".strip() or _UNNAMED

    async def _ask_capabilities(self, bus: Bus) -> frozenset[str]:
        try:
            reply = await bus.call(self.owner, PATH, INTERFACE, "GetCapabilities")
        except CallFailed as error:
            if is_passing(error.name):
                raise
            return _LEAST_CAPABILITIES
        return frozenset(reply.body[0]) if reply.signature == "as" else _LEAST_CAPABILITIES


def _closing(reason: int) -> Closing:
    try:
        return Closing(reason)
    except ValueError:
        return Closing.UNDEFINED


def _remember(memory: OrderedDict[int, T], key: int, value: T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
