"""Whether the desktop holds popups back, where its notification server tells."""

from __future__ import annotations

import pytest

from conftest import Home
from fakes.notification_profiles import BUDGIE, DUNST, GNOME, LXQT, MAKO, PLASMA, SWAYNC, Profile
from fakes.notification_server import NotificationServer
from heliograph.core.notification import DesktopSignal, DoNotDisturb
from heliograph.desktop.freedesktop import FreedesktopDesktop
from support.builders import make_notification
from support.waiting import until

pytestmark = pytest.mark.usefixtures("server")


@pytest.mark.parametrize("profile", [DUNST, PLASMA, SWAYNC, BUDGIE])
async def test_do_not_disturb_is_told_where_the_server_tells_it(
    server: NotificationServer, desktop: FreedesktopDesktop, signals: list[DesktopSignal], profile: Profile
) -> None:
    server.is_inhibited = True
    await server.restart(profile)
    await until(lambda: desktop.is_inhibited)
    server.inhibit(False)
    await until(lambda: not desktop.is_inhibited)
    server.inhibit(True)
    await until(lambda: desktop.is_inhibited)
    assert [signal.is_on for signal in signals if isinstance(signal, DoNotDisturb)] == [True, False, True]


async def test_a_server_that_signals_no_change_is_asked_before_anything_new(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await server.restart(MAKO)
    await until(lambda: desktop.server_name == "mako 0.0.0")
    for is_on in (True, False):
        server.inhibit(is_on)
        await desktop.show(make_notification(), None)
        assert desktop.is_inhibited == is_on


@pytest.mark.parametrize(
    ("text", "is_on"),
    [
        ("[General]\ndoNotDisturb=true\n", True),
        ("[General]\nplacement=top-right\ndoNotDisturb=true\n\n[Other]\ndoNotDisturb=false\n", True),
        ("[General]\ndoNotDisturb=false\n", False),
        ("[General]\nblackList=%20, a\n", False),
        ("doNotDisturb=true\n", False),
        ("\0[[[", False),
        (None, False),
    ],
)
async def test_lxqts_is_read_in_its_file_before_anything_new(
    server: NotificationServer, desktop: FreedesktopDesktop, home: Home, text: str | None, is_on: bool
) -> None:
    await server.restart(LXQT)
    await until(lambda: desktop.server_name == "lxqt-notificationd 2.1.0")
    if text is not None:
        (home.config / "lxqt").mkdir(parents=True)
        (home.config / "lxqt/notifications.conf").write_text(text)
    await desktop.show(make_notification(), None)
    assert desktop.is_inhibited == is_on


async def test_do_not_disturb_goes_with_its_server(server: NotificationServer, desktop: FreedesktopDesktop) -> None:
    server.inhibit(True)
    await until(lambda: desktop.is_inhibited)
    await server.stop()
    await until(lambda: not desktop.is_inhibited)


async def test_a_server_that_tells_nothing_of_it_disturbs(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await server.restart(GNOME)
    await until(lambda: desktop.server_name == "gnome-shell 48.7")
    assert not desktop.is_inhibited


async def test_who_listens_only_now_is_told_that_popups_are_held_back(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    """A daemon that starts while it is on lets other devices ring from the beginning."""
    server.inhibit(True)
    await until(lambda: desktop.is_inhibited)
    heard: list[DesktopSignal] = []
    desktop.listen(heard.append)
    assert heard[1:] == [DoNotDisturb(True)]
