"""What notification servers answer, refuse and tell: dunst, mako, xfce4-notifyd, and the fake with the habits of each
that is known. Of the others the real ones play in tests/desktops.

One table for all; where they differ, `fakes.notification_profiles` says how, so that a habit which the fake has is one
that was seen on the real server.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from dbus_fast import Variant

from fakes.notification_profiles import (
    BUDGIE,
    CINNAMON,
    DUNST,
    GNOME,
    LXQT,
    MAKO,
    MATE,
    PLASMA,
    SWAYNC,
    XFCE,
    Profile,
)
from fakes.notification_server import NAME, PATH, NotificationServer
from support.bus_caller import BusCaller, Outcome, Refusal
from support.buses import PrivateBus
from support.dunst import DunstSession
from support.mako import MakoSession
from support.session_server import BUS, ShellHands
from support.session_server import NAME as SESSION_SERVER
from support.waiting import until
from support.xfce import XfceSession

_NUMBERS = itertools.count()
NEVER_GIVEN = 4_000_000
"""An id."""
EXCESS = Refusal("org.freedesktop.Notifications.Error.ExcessNotificationGeneration")
INVALID = Refusal("org.freedesktop.DBus.Error.InvalidArgs")
UNKNOWN = Refusal("unknown")


@dataclass
class Stage:
    """A server, a program that shows popups on it, and a stranger that does so, too."""

    profile: Profile
    """What is known of the server."""
    owner: BusCaller
    stranger: BusCaller
    count: Callable[[], int] | None
    """Popups on screen. None: only what goes over the bus can be seen."""
    choose: Callable[[int], object]
    """The user clicks the only button of the only popup."""
    dismiss: Callable[[int], object]
    left: dict[int, BusCaller] = field(default_factory=dict)
    """Ids of what was shown and is not closed yet, and who has shown it."""
    closed: dict[int, int] = field(default_factory=dict)
    """By id: the reason with which it was closed."""

    async def notify(
        self,
        by: BusCaller | None = None,
        *,
        replaces: int = 0,
        body: str | None = None,
        actions: Sequence[str] = (),
        hints: dict[str, Variant] | None = None,
        expire_ms: int = 0,
    ) -> Outcome:
        # Some servers refuse what was shown just before, by another test as well.
        text = f"hello {next(_NUMBERS)}" if body is None else body
        arguments = ["program", replaces, "", "Lunch", text, list(actions), hints or {}, expire_ms]
        return await (by or self.owner).call("Notify", "susssasa{sv}i", *arguments)

    async def show(self, by: BusCaller | None = None, **notification: Any) -> int:
        """The id of what is shown then."""
        outcome = await self.notify(by, **notification)
        assert isinstance(outcome, list), outcome
        popup_id = outcome[0]
        assert isinstance(popup_id, int)
        self.left[popup_id] = by or self.owner
        return popup_id

    async def close(self, popup_id: int, by: BusCaller | None = None) -> Outcome:
        outcome = await (by or self.owner).call("CloseNotification", "u", popup_id)
        if isinstance(outcome, list):
            self.left.pop(popup_id, None)
        return outcome

    async def close_gone(self, popup_id: int) -> None:
        """Closing what is not there changes nothing, and some servers tell that it is closed."""
        assert await self.close(popup_id) == []
        if self.profile.tells_of_gone:
            await self.tells(closed(popup_id, 3), is_known=False)

    async def tells(self, *signals: tuple[str, list[Any]], to: BusCaller | None = None, is_known: bool = True) -> None:
        """Just these came since: to the program that showed the popup last, and to all if the server tells all. Each
        comes as often as this server tells it. `is_known`: False if nobody showed what they are about."""
        told = to or self.owner
        other = self.stranger if told is self.owner else self.owner
        to_all = list(signals)
        is_doubled = self.profile.signals_twice and is_known
        to_owner = [each for each in to_all for _ in range(2 if is_doubled else 1)]
        self.closed |= {body[0]: body[1] for member, body in signals if member == "NotificationClosed"}
        await until(lambda: len(self._news(told.heard)) >= len(to_owner), f"{signals}")
        for caller in (told, other):
            await caller.call("GetServerInformation")
        heard = self._news(told.take())
        # Of two copies one comes behind each signal, or behind them all.
        assert heard == to_owner or (is_doubled and heard == to_all * 2)
        assert self._news(other.take()) == ([] if self.profile.tells_owner_alone else to_all)

    def _news(self, heard: Sequence[tuple[str, list[Any]]]) -> list[tuple[str, list[Any]]]:
        """Without what comes again with another reason, at any time, where a server does that."""
        if not self.profile.closes_twice:
            return list(heard)
        return [each for each in heard if not (_is_closing(each) and self.closed.get(each[1][0]) != each[1][1])]

    async def shows(self, number: int) -> None:
        if (count := self.count) is not None:
            await until(lambda: count() == number, f"{number} popups")


def _is_closing(signal: tuple[str, list[Any]]) -> bool:
    return signal[0] == "NotificationClosed"


def closed(popup_id: int, reason: int) -> tuple[str, list[Any]]:
    return "NotificationClosed", [popup_id, reason]


def clicked(popup_id: int) -> tuple[str, list[Any]]:
    return "ActionInvoked", [popup_id, "press"]


BUTTON = ["press", "Press"]
REAL = {"dunst": DUNST, "mako": MAKO, "xfce": XFCE}
BOOTED = {
    **{"gnome": GNOME, "plasma": PLASMA, "swaync": SWAYNC, "cinnamon": CINNAMON, "lxqt": LXQT, "mate": MATE},
    "budgie": BUDGIE,
}
"""Of those that run in tests/desktops alone."""
SESSION = {profile.name: profile for profile in (*BOOTED.values(), XFCE, MAKO, DUNST)}
SERVERS = [
    *(pytest.param(name, id="session") for name in ([SESSION_SERVER] if SESSION_SERVER else [])),
    *(pytest.param(profile, id=f"fake-{name}") for name, profile in (REAL | BOOTED).items()),
    *(pytest.param(name, id=f"real-{name}", marks=pytest.mark.real) for name in REAL),
]


@pytest.fixture(params=SERVERS)
async def stage(request: pytest.FixtureRequest, private_bus: PrivateBus) -> AsyncIterator[Stage]:
    address = BUS if request.param == SESSION_SERVER else private_bus.address
    owner, stranger = (BusCaller(address, NAME, PATH, NAME) for _ in range(2))
    for caller in (owner, stranger):
        await caller.start()
    if request.param == SESSION_SERVER:
        stage = Stage(SESSION[request.param], owner, stranger, *session_hands(request.param))
        yield stage
        for popup, by in tuple(stage.left.items()):
            await stage.close(popup, by)
    elif isinstance(request.param, str):
        yield Stage(REAL[request.param], owner, stranger, *hands_on(request.getfixturevalue(request.param)))
    else:
        server = NotificationServer(private_bus.address, request.param)
        await server.start()
        hands = lambda: len(server.on_screen), lambda popup_id: server.act(popup_id, "press"), server.dismiss
        yield Stage(request.param, owner, stranger, *hands)
        await server.stop()
    for caller in (owner, stranger):
        await caller.stop()


def hands_on(session: DunstSession | MakoSession | XfceSession) -> tuple[Callable[[], int], Any, Any]:
    match session:
        case DunstSession():
            return session.count, lambda _: session.choose("Press"), lambda _: session.ctl("close")
        case MakoSession():
            return session.count, lambda popup_id: session.press(popup_id, "press"), session.dismiss
        case XfceSession():
            return session.count, lambda _: session.press(0, of=1), lambda _: session.dismiss()


def session_hands(name: str) -> tuple[Callable[[], int] | None, Any, Any]:
    if name != GNOME.name:
        # Tests that click are left out there: -k "session and not TestTheUser".
        return None, None, None
    hands = ShellHands()
    return hands.count, hands.choose, hands.dismiss


async def test_it_says_who_it_is_and_what_it_can(stage: Stage) -> None:
    information = await stage.owner.call("GetServerInformation")
    assert isinstance(information, list)
    assert information[:2] == [stage.profile.name, stage.profile.vendor]
    assert information[3] in ("1.1", "1.2", "1.3")
    capabilities = await stage.owner.call("GetCapabilities")
    assert isinstance(capabilities, list)
    # A later version may be able to do more.
    assert set(capabilities[0]) >= set(stage.profile.capabilities)


class TestIds:
    async def test_closing_is_told_once_and_closing_again_changes_nothing(self, stage: Stage) -> None:
        popup = await stage.show()
        await stage.shows(1)
        assert await stage.close(popup) == []
        await stage.tells(closed(popup, 3))
        await stage.shows(0)
        other = await stage.show(body="another")
        assert other != popup
        for gone in (popup, NEVER_GIVEN, 0):
            await stage.close_gone(gone)
        await stage.tells()
        await stage.shows(1)

    async def test_any_program_closes_any_popup_and_its_owner_is_told_or_that_is_refused(self, stage: Stage) -> None:
        popup = await stage.show()
        if stage.profile.guards_owners:
            assert await stage.close(popup, by=stage.stranger) == INVALID
            await stage.tells()
            return
        assert await stage.close(popup, by=stage.stranger) == []
        await stage.tells(closed(popup, 3))
        await stage.close_gone(popup)
        await stage.tells()

    async def test_a_replacement_keeps_the_id_and_is_no_closing(self, stage: Stage) -> None:
        popup = await stage.show()
        assert await stage.show(replaces=popup, body="hello again") == popup
        await stage.tells()
        await stage.shows(1)

    async def test_any_program_takes_over_any_popup_and_is_told_of_it_from_then_on_or_that_is_refused(
        self, stage: Stage
    ) -> None:
        popup = await stage.show()
        if stage.profile.guards_owners:
            assert await stage.notify(by=stage.stranger, replaces=popup) == INVALID
            await stage.shows(1)
            return
        assert await stage.show(by=stage.stranger, replaces=popup, body="mine") == popup
        await stage.shows(1)
        assert await stage.close(popup) == []
        await stage.tells(closed(popup, 3), to=stage.stranger)

    async def test_an_id_that_is_not_on_screen_is_kept_or_a_new_one_is_given(self, stage: Stage) -> None:
        gone = await stage.show()
        await stage.close(gone)
        await stage.tells(closed(gone, 3))
        popups = [await stage.show(replaces=replaced, body=f"{replaced}") for replaced in (gone, NEVER_GIVEN)]
        if stage.profile.keeps_unknown_ids:
            assert popups == [gone, NEVER_GIVEN]
        elif stage.profile.keeps_given_ids:
            assert popups[0] == gone
            assert popups[1] != NEVER_GIVEN
        else:
            assert not {gone, NEVER_GIVEN}.intersection(popups)
        await stage.tells()
        await stage.shows(2)

    async def test_notifications_that_look_alike_stand_beside_each_other_or_in_each_others_place(
        self, stage: Stage
    ) -> None:
        first = await stage.show(body="alike")
        if stage.profile.refuses_alike:
            # For a second.
            assert await stage.notify(body="alike") == EXCESS
            await stage.tells()
            return
        assert first != await stage.show(body="alike")
        await stage.tells(*([closed(first, 1)] if stage.profile.stacks_alike else []))
        await stage.show(body="alike", hints={"urgency": Variant("y", 2)})
        await stage.show(body="another")
        await stage.tells()
        await stage.shows(3 if stage.profile.stacks_alike else 4)


class TestTheUser:
    async def test_a_click_is_told_and_closes_the_popup_or_leaves_it(self, stage: Stage) -> None:
        popup = await stage.show(actions=BUTTON)
        await stage.shows(1)
        stage.choose(popup)
        await stage.tells(clicked(popup), *([closed(popup, 2)] if stage.profile.closes_on_action else []))
        await stage.shows(0 if stage.profile.closes_on_action else 1)

    async def test_a_dismissal_is_told(self, stage: Stage) -> None:
        popup = await stage.show(actions=BUTTON)
        await stage.shows(1)
        stage.dismiss(popup)
        await stage.tells(closed(popup, 2))
        await stage.shows(0)

    async def test_a_popup_whose_time_is_over_says_so_where_time_means_anything(self, stage: Stage) -> None:
        popup = await stage.show(expire_ms=200)
        if stage.profile.keeps_silently:
            await asyncio.sleep(0.5)
            await stage.tells()
            await stage.shows(1)
            return
        await stage.tells(closed(popup, 1))
        await stage.shows(0)
        if stage.profile.lists_expired:
            assert await stage.close(popup) == []
            await stage.tells(closed(popup, 3))
        else:
            await stage.close_gone(popup)
        await stage.tells()


def picture(width: int, height: int, pixels: bytes) -> Variant:
    return Variant("(iiibiiay)", [width, height, width * 4, True, 8, 4, pixels])


ODD_HINTS: dict[str, dict[str, Variant]] = {
    "urgency as a word": {"urgency": Variant("s", "high")},
    "urgency as a long number": {"urgency": Variant("u", 2)},
    "urgency beyond all": {"urgency": Variant("y", 7)},
    "category as a number": {"category": Variant("i", 1)},
    "desktop entry as a number": {"desktop-entry": Variant("i", 1)},
    "transient as a word": {"transient": Variant("s", "yes")},
    "progress as a word": {"value": Variant("s", "half")},
    "picture as a word": {"image-data": Variant("s", "me")},
    "picture of too few bytes": {"image-data": picture(10, 10, b"abc")},
    "picture": {"image-data": picture(1, 1, b"abcd")},
    "file as a number": {"image-path": Variant("i", 1)},
    "file that is not there": {"image-path": Variant("s", "/nonexistent.png")},
    "hint of no known name": {"x-odd": Variant("as", ["a"])},
}
ODD_ACTIONS: dict[str, list[str]] = {
    "no label": ["default"],
    "no last label": ["default", "Open", "press"],
    "one key twice": ["press", "Press", "press", "Press"],
    "empty": ["", ""],
}


DEADLY: Mapping[str, Collection[str]] = {
    XFCE.name: {"progress as a word", "picture as a word", "picture of too few bytes", "no label", "no last label"},
    SWAYNC.name: {"picture as a word"},
}
"""What a server does not live through: xfce4-notifyd 0.9 ends, some without an answer. Of a picture of too few bytes it
reads what lies behind them, which only sometimes ends it. swaync 0.11 ends by a picture of another type."""


class TestOddities:
    async def test_odd_hints_and_actions_are_passed_over_or_refused(self, stage: Stage) -> None:
        outcomes, expected = {}, {}
        odd: dict[str, dict[str, Any]] = {
            **{name: {"hints": hints} for name, hints in ODD_HINTS.items()},
            **{name: {"actions": actions} for name, actions in ODD_ACTIONS.items()},
        }
        for name, notification in odd.items():
            if name in DEADLY.get(stage.profile.name, ()):
                continue
            outcome = await stage.notify(body=name, **notification)
            outcomes[name] = outcome if isinstance(outcome, Refusal) else None
            refusal = stage.profile.refusal(notification.get("actions", ()), notification.get("hints", {}))
            expected[name] = Refusal(refusal) if refusal else None
            if isinstance(outcome, list):
                # xfce4-notifyd 0.9 sometimes ends over a popup that is closed before it has drawn it, odd or not.
                await stage.shows(1)
                await stage.close(outcome[0])
                await stage.shows(0)
        assert outcomes == expected

    async def test_calls_of_wrong_types_and_names_are_refused(self, stage: Stage) -> None:
        calls: dict[str, tuple[Awaitable[Outcome], Outcome]] = {
            "Notify with too little": (stage.owner.call("Notify", "s", "Lunch"), INVALID),
            "Notify with nothing": (stage.owner.call("Notify"), INVALID),
            "closing a signed id": (stage.owner.call("CloseNotification", "i", 1), INVALID),
            "closing a word": (stage.owner.call("CloseNotification", "s", "all"), INVALID),
            "closing nothing": (stage.owner.call("CloseNotification"), INVALID),
            "closing two": (stage.owner.call("CloseNotification", "uu", 1, 2), INVALID),
            "capabilities of something": (stage.owner.call("GetCapabilities", "s", "x"), INVALID),
            "information on something": (stage.owner.call("GetServerInformation", "s", "x"), INVALID),
            "no such method": (stage.owner.call("Nonsense"), UNKNOWN),
            "no such object": (stage.owner.call("GetCapabilities", path="/nonsense"), UNKNOWN),
            "no such interface": (stage.owner.call("GetCapabilities", interface="org.nonsense"), UNKNOWN),
        }
        outcomes = {name: as_unknown(await call) for name, (call, _) in calls.items()}
        wrong = UNKNOWN if stage.profile.knows_no_overloads else INVALID
        assert outcomes == {name: wrong if outcome == INVALID else outcome for name, (_, outcome) in calls.items()}
        await stage.tells()


def as_unknown(outcome: Outcome) -> Outcome:
    """Libraries for D-Bus have several words for what is not there."""
    is_unknown = isinstance(outcome, Refusal) and ".Error.Unknown" in outcome.name
    return UNKNOWN if is_unknown else outcome


@pytest.mark.parametrize("profile", [GNOME, PLASMA, SWAYNC], ids=lambda profile: profile.name)
async def test_habits_of_servers_that_do_not_run_here_are_played_as_they_were_measured(
    private_bus: PrivateBus, profile: Profile
) -> None:
    server, caller = NotificationServer(private_bus.address, profile), BusCaller(private_bus.address, NAME, PATH, NAME)
    await server.start()
    await caller.start()
    stage = Stage(profile, caller, caller, lambda: len(server.on_screen), server.act, server.dismiss)
    popup = await stage.show(actions=BUTTON)
    server.act(popup, "press")
    await until(lambda: closed(popup, 2) in caller.heard, "the end of what was clicked")
    caller.take()
    again = await stage.close(popup)
    await caller.call("GetServerInformation")
    assert again == []
    assert (closed(popup, 3) in caller.take()) == profile.tells_of_gone
    await caller.stop()
    await server.stop()


async def test_gnome_shells_banner_is_asked_for_by_what_a_replacement_replaces(private_bus: PrivateBus) -> None:
    """js/ui/notificationDaemon.js of 46 to 51; measured on 48."""
    server, caller = NotificationServer(private_bus.address, GNOME), BusCaller(private_bus.address, NAME, PATH, NAME)
    await server.start()
    await caller.start()
    stage = Stage(GNOME, caller, caller, lambda: len(server.on_screen), server.act, server.dismiss)

    def urgency(level: int) -> dict[str, Variant]:
        return {"urgency": Variant("y", level), "desktop-entry": Variant("s", "program")}

    low = await stage.show(body="low", hints=urgency(0))
    await stage.show(body="normal after low", replaces=low)
    normal = await stage.show(body="normal")
    await stage.show(body="low after normal", replaces=normal, hints=urgency(0))
    await stage.show(body="critical after low", replaces=normal, hints=urgency(2))
    assert [each.body for each in server.banners.came_up] == ["normal", "low after normal"]
    for number in range(GNOME.most):
        await stage.show(body=f"{number}", hints=urgency(1))
    assert closed(low, 1) in caller.heard
    await caller.stop()
    await until(lambda: not server.on_screen, "the shell to drop what the program has shown")
    await server.stop()


async def test_plasma_lists_what_expires_under_its_id(private_bus: PrivateBus) -> None:
    """Measured on 6.3."""
    server, caller = NotificationServer(private_bus.address, PLASMA), BusCaller(private_bus.address, NAME, PATH, NAME)
    await server.start()
    await caller.start()
    stage = Stage(PLASMA, caller, caller, lambda: len(server.on_screen), server.act, server.dismiss)
    popup = await stage.show(body="one", hints={"image-data": picture(1, 1, b"abcd")}, expire_ms=100)
    await until(lambda: closed(popup, 1) in caller.heard)
    assert await stage.show(body="two", replaces=popup) == popup
    assert [each.body for each in server.listed.values()] == ["two"]
    assert len(server.banners.came_up) == 1
    assert server.pictures[popup] is not None, "the picture of what was replaced stays"
    assert await stage.close(popup) == []
    await until(lambda: closed(popup, 3) in caller.heard)
    assert server.listed == {}
    await caller.stop()
    await server.stop()


async def test_the_user_of_the_fake_acts_only_on_what_is_on_screen(private_bus: PrivateBus) -> None:
    server, caller = NotificationServer(private_bus.address), BusCaller(private_bus.address, NAME, PATH, NAME)
    await server.start()
    await caller.start()
    stage = Stage(DUNST, caller, caller, lambda: len(server.on_screen), server.act, server.dismiss)
    popup = await stage.show(actions=BUTTON)
    with pytest.raises(AssertionError, match="no action default"):
        server.act(popup, "default")
    await stage.close(popup)
    for act in (server.dismiss, server.expire):
        with pytest.raises(AssertionError):
            act(popup)
    with pytest.raises(KeyError):
        server.act(popup, "press")
    await caller.stop()
    await server.stop()
