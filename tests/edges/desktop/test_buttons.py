"""Every button that a popup is to have is there, and does what its label says, whatever its server makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
from fakes.notification_server import NotificationServer
from heliograph.core.delivery import Done
from heliograph.core.notification import Category
from heliograph.core.popups.actions import actions_for
from heliograph.desktop.freedesktop import FreedesktopDesktop
from support.builders import make_content, make_notification
from support.waiting import until

pytestmark = pytest.mark.usefixtures("server")
SERVERS = [BUDGIE, CINNAMON, DUNST, GNOME, LXQT, MAKO, MATE, PLASMA, SWAYNC, XFCE]
MESSAGE = make_notification(actions=actions_for([make_content()], is_summary=False))
CALL = actions_for([make_content(category=Category.CALL, can_decline=True)], is_summary=False)


@pytest.mark.parametrize("profile", SERVERS, ids=lambda profile: profile.name)
async def test_all_that_is_offered_can_be_clicked_also_in_the_place_of_a_call(
    server: NotificationServer, desktop: FreedesktopDesktop, profile: Profile
) -> None:
    await server.restart(profile)
    await until(lambda: desktop.server is not None)
    called = await desktop.show(make_notification(body="voice call", actions=CALL), None)
    assert isinstance(called, Done)
    missed = await desktop.show(replace(MESSAGE, is_update=True), called.value)
    assert isinstance(missed, Done)
    offered = server.shown[-1].actions[::2]
    assert {"mark-read", "mute", "default"} <= set(offered)
    assert sorted(server.clickable[missed.value.id]) == sorted(offered)
    assert list(server.on_screen) == [missed.value.id], "it is in the place of the call"
