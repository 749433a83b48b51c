"""Real notification servers, each with what it can do: their buttons are pressed, and what they say is understood."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from heliograph.core.delivery import Done
from heliograph.core.notification import Activated, Closed, Closing, DesktopSignal, Popup
from heliograph.core.popups.actions import actions_for, offer
from heliograph.core.popups.profiles import DUNST, MAKO, XFCE
from heliograph.desktop.freedesktop import FreedesktopDesktop
from support.builders import make_content, make_notification
from support.buses import PrivateBus
from support.waiting import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.parametrize("stage", ["dunst", "mako", "xfce"], indirect=True),
]

PROFILES = {"dunst": DUNST, "mako": MAKO, "xfce": XFCE}
MESSAGE = make_notification(actions=actions_for([make_content()], is_summary=False))


@dataclass
class Stage:
    """A server, what its user sees, and what its user can do."""

    name: str
    desktop: FreedesktopDesktop
    count: Callable[[], int]
    press: Callable[[Popup, str], object]
    """A button, by its label."""
    inhibit: Callable[[bool], object]
    """The user switches "do not disturb"."""
    dismiss: Callable[[Popup], object]
    signals: list[DesktopSignal] = field(default_factory=list)

    async def show(self, replaces: Popup | None = None, **notification: Any) -> Popup:
        values = {"summary": MESSAGE.summary, "actions": MESSAGE.actions, **notification}
        outcome = await self.desktop.show(make_notification(**values), replaces)
        assert isinstance(outcome, Done), outcome
        count = self.count
        await until(lambda: count() > 0, "the popup")
        return outcome.value


@pytest.fixture
async def stage(request: pytest.FixtureRequest, private_bus: PrivateBus) -> AsyncIterator[Stage]:
    server = request.getfixturevalue(request.param)
    desktop = FreedesktopDesktop(private_bus.address)
    await desktop.start()
    actions = offer(MESSAGE, {"actions"}, PROFILES[request.param])
    offered = [action.label for action in actions]
    keys = {action.label: action.key for action in actions}
    press: dict[str, Callable[[Popup, str], object]] = {
        "dunst": lambda _, label: server.choose(label),
        "mako": lambda popup, label: server.press(popup.id, keys[label]),
        "xfce": lambda _, label: server.press(offered.index(label), len(offered)),
    }
    dismiss: dict[str, Callable[[Popup], object]] = {
        "dunst": lambda _: server.ctl("close"),
        "mako": lambda popup: server.dismiss(popup.id),
        "xfce": lambda _: server.dismiss(),
    }
    stage = Stage(request.param, desktop, server.count, press[request.param], server.inhibit, dismiss[request.param])
    desktop.listen(stage.signals.append)
    yield stage
    await desktop.shut()


async def test_what_it_can_do_is_known(stage: Stage) -> None:
    await stage.show()
    traits = await stage.desktop.traits()
    assert traits is not None
    assert {"actions", "body", "body-markup"} <= traits.capabilities
    assert "inline-reply" not in traits.capabilities
    assert traits.profile == PROFILES[stage.name]
    own = {"dunst": "x-dunst-stack-tag", "mako": "x-dunst-stack-tag", "xfce": "action-icons"}
    assert own[stage.name] in traits.capabilities


@pytest.mark.parametrize(("label", "key"), [("Open", "default"), ("Mark as read", "mark-read"), ("Mute…", "mute")])
async def test_each_button_says_what_it_is(stage: Stage, label: str, key: str) -> None:
    popup = await stage.show()
    stage.press(popup, label)
    await until(lambda: Activated(popup, key) in stage.signals, "the click")
    await stage.desktop.close(popup)
    await until(lambda: stage.count() == 0, "the end of the popup")
    assert sum(isinstance(signal, Activated) for signal in stage.signals) == 1


async def test_a_replacement_keeps_its_place_and_its_buttons(stage: Stage) -> None:
    popup = await stage.show(body="one")
    assert await stage.show(replaces=popup, body="one, two") == popup
    assert stage.count() == 1
    stage.press(popup, "Mark as read")
    await until(lambda: Activated(popup, "mark-read") in stage.signals, "the click")


async def test_what_its_user_closes_is_told_of_once(stage: Stage) -> None:
    popup = await stage.show()
    stage.dismiss(popup)
    await until(lambda: Closed(popup, Closing.DISMISSED) in stage.signals, "the end of the popup")
    assert isinstance(await stage.desktop.close(popup), Done)
    other = await stage.show(summary="another")
    await stage.desktop.close(other)
    await until(lambda: any(isinstance(each, Closed) and each.popup == other for each in stage.signals))
    assert [each.popup for each in stage.signals if isinstance(each, Closed)] == [popup, other]


async def test_its_do_not_disturb_is_known_before_anything_new_is_shown(stage: Stage) -> None:
    stage.inhibit(True)
    await stage.desktop.show(MESSAGE, None)
    await until(lambda: stage.desktop.is_inhibited, "that it holds popups back")
    # mako counts what is invisible, too.
    assert stage.count() == (stage.name == "mako")
    stage.inhibit(False)
    await stage.show()
    await until(lambda: not stage.desktop.is_inhibited, "that popups come up again")
