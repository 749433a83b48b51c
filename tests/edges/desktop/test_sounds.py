"""What is heard, and from whom: never from both."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.notification_profiles import BUDGIE, CINNAMON, DUNST, GNOME, MAKO, MATE, PLASMA, SWAYNC, Profile
from fakes.notification_server import Misbehaviour, NotificationServer
from heliograph.core.notification import Category, Notification, Urgency
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.desktop.sounds import Player, Sound, Sounds
from support.builders import make_notification
from support.buses import PrivateBus
from support.waiting import until

LOUD = make_notification(sound="default")
CALL = make_notification(sound="ring", category=Category.CALL)


class Players:
    """Programs on PATH that note what they were started with, and a theme with two sounds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._notes = folder / "played"
        theme = folder / "share/sounds/freedesktop/stereo"
        theme.mkdir(parents=True)
        for name in ("message-new-instant", "phone-incoming-call"):
            (theme / f"{name}.oga").write_bytes(b"OggS")
        (folder / "bin").mkdir()
        self.own = folder / "sounds"
        self.own.mkdir()

    def install(self, name: str, status: int = 0) -> None:
        program = self.folder / "bin" / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >> {self._notes}\nexit {status}\n')
        program.chmod(0o700)

    @property
    def played(self) -> list[str]:
        return self._notes.read_text().replace(f"{self.folder}/", "").splitlines() if self._notes.exists() else []


@pytest.fixture
def players(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Players:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setenv("XDG_DATA_HOME", f"{tmp_path}/home")
    monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path}/share")
    return Players(tmp_path)


async def played(sounds: Sounds, notification: Notification) -> None:
    sound = await sounds.choose(notification)
    assert sound is not None
    sounds.play(sound)
    assert sounds._playing is not None
    await sounds._playing


MESSAGE = "share/sounds/freedesktop/stereo/message-new-instant.oga"


@pytest.mark.parametrize(
    ("installed", "heard"),
    [
        (("paplay", "pw-play", "canberra-gtk-play"), f"pw-play {MESSAGE}"),
        (("paplay", "canberra-gtk-play"), f"paplay {MESSAGE}"),
        (("canberra-gtk-play",), "canberra-gtk-play -i message-new-instant"),
    ],
)
async def test_the_first_player_that_is_installed_plays(
    players: Players, installed: tuple[str, ...], heard: str
) -> None:
    for name in installed:
        players.install(name)
    await played(Sounds(players.own), LOUD)
    assert players.played == [heard]


async def test_where_one_fails_the_next_is_tried(players: Players) -> None:
    players.install("pw-play", status=1)
    players.install("paplay")
    await played(Sounds(players.own), CALL)
    call = "share/sounds/freedesktop/stereo/phone-incoming-call.oga"
    assert players.played == [f"pw-play {call}", f"paplay {call}"]


@pytest.mark.expected_log("Sounds cannot be played")
async def test_that_nothing_plays_is_told_once(players: Players, caplog: pytest.LogCaptureFixture) -> None:
    sounds = Sounds(players.own)
    with caplog.at_level(logging.WARNING):
        await played(sounds, LOUD)
        await played(sounds, LOUD)
    assert caplog.text.count("cannot be played") == 1


@pytest.mark.parametrize(
    ("files", "notification", "found"),
    [
        (("default.oga",), LOUD, "default.oga"),
        (("default.wav", "ring.ogg"), make_notification(sound="ring"), "ring.ogg"),
        (("default.wav",), make_notification(sound="ring"), "default.wav"),
        (("default.oga", "call.flac"), CALL, "call.flac"),
        (("default.txt", "x.oga"), LOUD, None),
        (("default.oga",), make_notification(sound="../../secret"), "default.oga"),
    ],
)
async def test_own_files_are_named_after_the_rules_sound(
    players: Players, files: tuple[str, ...], notification: Notification, found: str | None
) -> None:
    (players.folder / "secret.oga").write_bytes(b"x")
    for name in files:
        (players.own / name).write_bytes(b"OggS")
    sound = await Sounds(players.own).choose(notification)
    assert sound is not None
    assert sound.file == (None if found is None else players.own / found)


async def test_what_is_silent_or_switched_off_is_not_heard(players: Players) -> None:
    assert await Sounds(players.own).choose(make_notification()) is None
    assert await Sounds(players.own, "off").choose(LOUD) is None


class Heard:
    """A desktop that plays sounds itself where it has to."""

    def __init__(self, desktop: FreedesktopDesktop, sounds: Sounds, server: NotificationServer) -> None:
        self.desktop, self.sounds, self.server = desktop, sounds, server

    async def show(self, notification: Notification) -> dict[str, object]:
        await self.desktop.show(notification, None)
        if self.sounds._playing is not None:
            await self.sounds._playing
        hints = self.server.shown[-1].hints
        return {name: value for name, value in hints.items() if "sound" in name}


@pytest.fixture
async def heard(request: pytest.FixtureRequest, private_bus: PrivateBus, players: Players) -> AsyncIterator[Heard]:
    profile, player = request.param
    players.install("pw-play")
    sounds = Sounds(players.own, player)
    server = NotificationServer(private_bus.address, profile)
    await server.start()
    desktop = FreedesktopDesktop(private_bus.address, sounds=sounds)
    await desktop.start()
    yield Heard(desktop, sounds, server)
    await desktop.shut()
    await server.stop()


def by(profile: Profile, player: Player) -> object:
    return pytest.param((profile, player), id=f"{profile.name}-{player}")


@pytest.mark.parametrize("heard", [by(GNOME, "auto"), by(GNOME, "server"), by(DUNST, "server")], indirect=True)
async def test_where_the_server_plays_we_do_not(heard: Heard, players: Players) -> None:
    assert await heard.show(LOUD) == {"sound-name": "message-new-instant"}
    (players.own / "default.oga").write_bytes(b"OggS")
    assert await heard.show(LOUD) == {"sound-file": str(players.own / "default.oga")}
    assert players.played == []


@pytest.mark.parametrize("heard", [by(MATE, "auto"), by(MATE, "server")], indirect=True)
async def test_a_server_that_passes_over_names_gets_the_file_of_the_theme(heard: Heard, players: Players) -> None:
    assert await heard.show(LOUD) == {"sound-file": str(players.folder / MESSAGE)}
    (players.own / "default.oga").write_bytes(b"OggS")
    assert await heard.show(LOUD) == {"sound-file": str(players.own / "default.oga")}
    assert len(heard.server.banners.heard) == 2
    assert players.played == []


@pytest.mark.parametrize("heard", [by(MATE, "auto")], indirect=True)
async def test_without_such_a_file_we_play(heard: Heard, players: Players) -> None:
    players.install("canberra-gtk-play")
    (players.folder / MESSAGE).unlink()
    assert await heard.show(LOUD) == {"suppress-sound": True}
    assert players.played == ["canberra-gtk-play -i message-new-instant"]


@pytest.mark.parametrize("heard", [by(BUDGIE, "auto")], indirect=True)
async def test_where_the_server_plays_no_files_we_do(heard: Heard, players: Players) -> None:
    assert await heard.show(LOUD) == {"sound-name": "message-new-instant"}
    (players.own / "default.oga").write_bytes(b"OggS")
    assert await heard.show(LOUD) == {"suppress-sound": True}
    assert players.played == ["pw-play sounds/default.oga"]


@pytest.mark.parametrize("heard", [by(DUNST, "auto"), by(GNOME, "own"), by(CINNAMON, "auto")], indirect=True)
async def test_where_we_play_the_server_is_told_not_to(heard: Heard, players: Players) -> None:
    assert await heard.show(LOUD) == {"suppress-sound": True}
    assert players.played == [f"pw-play {MESSAGE}"]
    assert await heard.show(make_notification()) == {"suppress-sound": True}
    assert len(players.played) == 1


@pytest.mark.parametrize("heard", [by(DUNST, "auto")], indirect=True)
async def test_what_the_server_refuses_is_not_heard(heard: Heard, players: Players) -> None:
    heard.server.misbehaviour = Misbehaviour.REFUSE
    await heard.desktop.show(LOUD, None)
    assert players.played == []


HOLDING = [by(each, "auto") for each in (SWAYNC, PLASMA, MAKO, DUNST)]


@pytest.mark.parametrize("heard", HOLDING, indirect=True)
async def test_what_the_desktop_holds_back_is_not_heard(heard: Heard, players: Players) -> None:
    heard.server.inhibit(True)
    await until(lambda: heard.desktop.is_inhibited or heard.server.profile is MAKO)
    await heard.show(LOUD)
    assert players.played == []
    ringing = replace(CALL, urgency=Urgency.CRITICAL)
    await heard.show(ringing)
    assert len(players.played) == len(heard.server.banners.came_up) == (not heard.server.profile.holds_critical)


async def test_a_sound_that_is_heard_is_not_interrupted_and_ends_with_us(players: Players) -> None:
    program = players.folder / "bin" / "pw-play"
    program.write_text(f"#!/bin/sh\necho pw-play >> {players.folder}/played\nexec /bin/sleep 60\n")
    program.chmod(0o700)
    sounds = Sounds(players.own)
    sound = Sound("message-new-instant")
    sounds.play(sound)
    await until(lambda: players.played, "the sound")
    sounds.play(sound)
    await sounds.stop()
    assert players.played == ["pw-play"]
