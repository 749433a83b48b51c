"""The switches of GNOME, Cinnamon and MATE, as `gsettings` reads them and dconf tells of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from dbus_fast import Message
from dbus_fast.aio import MessageBus

from fakes.notification_profiles import GNOME, Profile
from fakes.notification_server import NotificationServer
from heliograph.core.popups.quiet import DO_NOT_DISTURB, SWITCHED_OFF
from heliograph.desktop.freedesktop import FreedesktopDesktop
from support.buses import PrivateBus
from support.waiting import until
from support.xfce import XfceSession

OURS = "org.gnome.desktop.notifications.application:/org/gnome/desktop/notifications/application/io-github-heliograph/"
_GSETTINGS = """\
#!/bin/sh
# As the real one: a setting that was never changed has its default, and one of no schema is an error.
[ "$1" = get ] && [ $# = 3 ] || exit 1
grep -F -- "$2 $3 " {values} | {{ read -r schema key value && echo "$value"; }}
"""
DEFAULTS = {
    ("org.gnome.desktop.notifications", "show-banners"): "true",
    (OURS, "enable"): "true",
    (OURS, "show-banners"): "true",
    ("org.cinnamon.desktop.notifications", "display-notifications"): "true",
    ("org.mate.NotificationDaemon", "do-not-disturb"): "false",
}


class Settings:
    """dconf, and the program `gsettings` on PATH."""

    def __init__(self, folder: Path, address: str) -> None:
        self._file = folder / "values"
        self._address = address
        self._values = dict(DEFAULTS)
        program = folder / "gsettings"
        program.write_text(_GSETTINGS.format(values=self._file))
        program.chmod(0o700)
        self._write()

    async def set(self, schema: str, key: str, value: str, path: str) -> None:
        """The user changes it; dconf tells everybody."""
        self._values[schema, key] = value
        self._write()
        bus = await MessageBus(bus_address=self._address).connect()
        body = [path, [""], "tag"]
        await bus.send(
            Message.new_signal("/ca/desrt/dconf/Writer/user", "ca.desrt.dconf.Writer", "Notify", "sass", body)
        )
        await bus.call(Message("org.freedesktop.DBus", "/", "org.freedesktop.DBus.Peer", "Ping"))
        bus.disconnect()

    def _write(self) -> None:
        lines = (f"{schema} {key} {value}\n" for (schema, key), value in self._values.items())
        self._file.write_text("".join(lines))


@pytest.fixture
def settings(private_bus: PrivateBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Settings(tmp_path, private_bus.address)


@pytest.fixture
async def desktop(
    request: pytest.FixtureRequest, private_bus: PrivateBus, settings: Settings
) -> AsyncIterator[FreedesktopDesktop]:
    profile: Profile = request.param
    server = NotificationServer(private_bus.address, profile)
    await server.start()
    desktop = FreedesktopDesktop(private_bus.address)
    await desktop.start()
    yield desktop
    await desktop.shut()
    await server.stop()


FOLDER = "/org/gnome/desktop/notifications/"
CINNAMON = replace(GNOME, name="cinnamon")
MATE = replace(GNOME, name="Notification Daemon")


@pytest.mark.parametrize(
    ("desktop", "schema", "key", "path", "why"),
    [
        (GNOME, "org.gnome.desktop.notifications", "show-banners", f"{FOLDER}show-banners", DO_NOT_DISTURB),
        (GNOME, OURS, "enable", f"{FOLDER}application/io-github-heliograph/enable", SWITCHED_OFF),
        (GNOME, OURS, "show-banners", f"{FOLDER}application/io-github-heliograph/", SWITCHED_OFF),
        (
            CINNAMON,
            "org.cinnamon.desktop.notifications",
            "display-notifications",
            "/org/cinnamon/desktop/notifications/display-notifications",
            DO_NOT_DISTURB,
        ),
        (
            MATE,
            "org.mate.NotificationDaemon",
            "do-not-disturb",
            "/org/mate/notification-daemon/do-not-disturb",
            DO_NOT_DISTURB,
        ),
    ],
    indirect=["desktop"],
)
async def test_a_switch_is_known_as_soon_as_it_is_switched(
    desktop: FreedesktopDesktop, settings: Settings, schema: str, key: str, path: str, why: str
) -> None:
    await until(lambda: desktop.server_name is not None and not desktop.is_inhibited)
    default = DEFAULTS[schema, key]
    await settings.set(schema, key, "false" if default == "true" else "true", path)
    await until(lambda: desktop.why_inhibited == why)
    await settings.set(schema, key, default, path)
    await until(lambda: not desktop.is_inhibited)


@pytest.mark.parametrize("desktop", [GNOME], indirect=True)
async def test_where_there_is_no_gsettings_nothing_is_known(
    desktop: FreedesktopDesktop, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "gsettings").write_text("#!/bin/sh\nexit 1\n")
    await settings.set("org.gnome.desktop.notifications", "show-banners", "false", f"{FOLDER}show-banners")
    assert await desktop.traits() is not None
    assert not desktop.is_inhibited


@pytest.mark.real
async def test_who_mutes_us_in_the_settings_of_xfce_is_known(private_bus: PrivateBus, xfce: XfceSession) -> None:
    desktop = FreedesktopDesktop(private_bus.address)
    await desktop.start()
    muted = ("xfconf-query", "-c", "xfce4-notifyd", "-p", "/applications/muted_applications")
    xfce.run(*muted, "-n", "-a", "-t", "string", "-s", "Somebody else", "-t", "string", "-s", "Heliograph")
    await until(lambda: desktop.why_inhibited == SWITCHED_OFF)
    xfce.run(*muted, "-a", "-t", "string", "-s", "Somebody else")
    await until(lambda: not desktop.is_inhibited)
    await desktop.shut()
