"""Decides which sound a notification has, and who plays it: the notification server, or a player that we start.

Few servers play sounds (GNOME Shell and MATE say that they do, Plasma, dunst, mako and Xfce do not; Cinnamon says so,
and does not), and none says whether it found the sound. So a server that does not claim to, or is known not to, gets
"suppress-sound", and we play. Never both do. MATE plays files alone, and gets the file that a name stands for; Budgie
plays none.
Tests: test_where_the_server_plays_we_do_not, test_where_we_play_the_server_is_told_not_to.
Source: Desktop Notifications Specification 1.3, "Sounds"; freedesktop.org's Sound Naming Specification.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from heliograph.core.notification import Category, Notification
from heliograph.core.popups.profile import SOUND_FILE, SOUND_NAME, ServerProfile
from heliograph.core.value_type import value_type
from heliograph.desktop.identity import data_folders
from heliograph.desktop.sound_files import SoundFiles
from heliograph.system.clock import now_ms
from heliograph.system.processes import run_program
from heliograph.system.tasks import start_beside

log = logging.getLogger(__name__)

Player = Literal["auto", "server", "own", "off"]
"""Who plays: the server if it can, else we; always the server; always we; nobody."""

_NAMES = {Category.CALL: "phone-incoming-call"}
_NAME = "message-new-instant"
_THEME = Path("sounds/freedesktop/stereo")
_FIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIMEOUT_S = 15.0
_FILE_PLAYERS = ("pw-play", "paplay")
_THEME_PLAYER = "canberra-gtk-play"


@value_type
class Sound:
    """A sound: a name of the sound theme, or a file of the user's own."""

    name: str
    file: Path | None = None


class Sounds:
    """Chooses sounds, and plays them one at a time. `folder` may hold files of the user's own.

    A push rule's sound is looked for there by its name ("default", "ring"), calls by "call" as well.
    """

    def __init__(self, folder: Path, player: Player = "auto") -> None:
        self._folder = folder
        self._player = player
        self._files = SoundFiles(now_ms)
        self._playing: asyncio.Task[object] | None = None
        self._is_trouble_told = False

    def is_servers(self, capabilities: Collection[str], profile: ServerProfile) -> bool:
        """Whether a notification server with these capabilities plays the sounds."""
        can = "sound" in capabilities and bool(profile.sound_hints)
        return self._player == "server" or (self._player == "auto" and can)

    async def choose(self, notification: Notification) -> Sound | None:
        """The sound of this notification; None: it has none."""
        if notification.sound is None or self._player == "off":
            return None
        name = _NAMES.get(notification.category, _NAME)
        wanted = ["call"] if notification.category is Category.CALL else []
        # The name comes from a push rule, and becomes part of a path.
        if _FIT.fullmatch(notification.sound):
            wanted.insert(0, notification.sound)
        file = await asyncio.to_thread(self._files.find, [self._folder], [*wanted, "default"])
        return Sound(name, file)

    async def hand_over(
        self, sound: Sound | None, capabilities: Collection[str], profile: ServerProfile
    ) -> Sound | None:
        """What a notification server with these capabilities is asked to play; None: nothing, and a sound is ours."""
        if sound is None or not self.is_servers(capabilities, profile):
            return None
        if sound.file is None and SOUND_NAME not in profile.sound_hints:
            sound = Sound(sound.name, await asyncio.to_thread(self._theme_file, sound.name))
        hint = SOUND_NAME if sound.file is None else SOUND_FILE
        return sound if hint in profile.sound_hints or self._player == "server" else None

    def play(self, sound: Sound) -> None:
        """Plays the sound in the background, unless another one is playing."""
        if self._playing is None or self._playing.done():
            self._playing = start_beside(self._play(sound), name="playing a sound")

    async def stop(self) -> None:
        """Ends the sound that is playing."""
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.wait([self._playing])

    async def _play(self, sound: Sound) -> None:
        for command in await asyncio.to_thread(self._commands, sound):
            try:
                status, _ = await run_program(command, _TIMEOUT_S, {})
            except OSError as error:
                log.debug("%s does not run: %s", command[0], error)
                continue
            # Without a status it was still playing.
            if status in (0, None):
                return
        if not self._is_trouble_told:
            self._is_trouble_told = True
            log.warning(
                "Sounds cannot be played: install pw-play, paplay or canberra-gtk-play, and a sound theme, or put a"
                " file default.oga into %s",
                self._folder,
            )

    def _commands(self, sound: Sound) -> list[list[str]]:
        """The commands to try, one after the other."""
        file = sound.file or self._theme_file(sound.name)
        commands = [[player, str(file)] for player in _FILE_PLAYERS if file is not None]
        commands.append(
            [_THEME_PLAYER, "-f", str(sound.file)] if sound.file is not None else [_THEME_PLAYER, "-i", sound.name]
        )
        found = ((shutil.which(program), words) for program, *words in commands)
        return [[program, *words] for program, words in found if program is not None]

    def _theme_file(self, name: str) -> Path | None:
        return self._files.find([folder / _THEME for folder in data_folders()], [name])
