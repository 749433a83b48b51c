"""Shows one thing after the other and asks what is seen of it: `heliograph test --walk`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from heliograph.accounts import cache_root, make_private_folder, sounds_folder, write_private_file
from heliograph.cli.input.line import read_line
from heliograph.cli.test.walk_report import Sight, SightKind, describe_surroundings, without_words, write_report
from heliograph.config.settings import Config
from heliograph.core.delivery import Done, NeedsUser
from heliograph.core.notification import Activated, Closed, Closing, DesktopSignal, Notification, Popup, Replied
from heliograph.core.popups.scenes import Cue, Scene, walk_scenes
from heliograph.core.text.clean import clean_line
from heliograph.desktop.choice import open_desktop
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.desktop.sounds import Sounds
from heliograph.errors import EXIT_OK, EXIT_USAGE, UserError

_LOOK_UP_S = 1.5
"""The pause before something happens, in which the user looks from the terminal to the rest of the screen."""
_ANSWER_LIMIT = 300
_YES = frozenset(("y", "yes"))
_NO = frozenset(("n", "no"))
_CLOSINGS = {
    Closing.EXPIRED: "it went by itself",
    Closing.DISMISSED: "it was closed by hand",
    Closing.CALLED: "it was taken away",
    Closing.UNDEFINED: "it went",
}
_INTRODUCTION = """\
{count} scenes follow, one after the other. Nothing is sent to anybody.
Answer y if it is so, n if not, or write what you see instead; Enter alone leaves a scene out, Ctrl-C ends the walk.
"""


def report_file() -> Path:
    """The path of the report, whether there is one or not."""
    return cache_root() / "walk.txt"


async def walk(config: Config) -> int:
    """Walks through the scenes, and writes the report also if the walk is broken off. Returns the exit code. Raises
    UserError if nobody can answer, or no notification server can be walked through."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError(
            "There is no terminal to ask what you see.",
            "Type the command in a terminal, without a pipe or a file in its place.",
            exit_code=EXIT_USAGE,
        )
    # Before the first scene: nobody shall answer twenty questions for a report that cannot be written.
    await asyncio.to_thread(make_private_folder, report_file().parent)
    sounds = Sounds(sounds_folder(), config.notifications.sound)
    desktop = await open_desktop(config.desktop.backend, sounds=sounds)
    try:
        if not isinstance(desktop, FreedesktopDesktop) or (traits := await desktop.traits()) is None:
            raise UserError(
                "No notification server answers, so that there is nothing to walk through.",
                "Start your desktop's, or install one: dunst, mako.",
            )
        surroundings = describe_surroundings(
            traits,
            is_inhibited=desktop.is_inhibited,
            plays_sounds=sounds.is_servers(traits.capabilities, traits.profile),
        )
        click.echo("\n".join(surroundings))
        return await _Walk(desktop, surroundings).run(walk_scenes(traits.profile.layout))
    finally:
        await desktop.shut()


class _Walk:
    def __init__(self, desktop: FreedesktopDesktop, surroundings: list[str]) -> None:
        self._desktop = desktop
        self._surroundings = surroundings
        self._popup: Popup | None = None
        """The popup of the scene, until it is gone."""
        self._shown: Notification | None = None
        """What the popup shows, or showed last."""
        self._heard: list[str] = []
        """What came back in this scene."""
        self._sights: list[Sight] = []

    async def run(self, scenes: list[Scene]) -> int:
        self._desktop.listen(self._hear)
        click.echo(_INTRODUCTION.format(count=len(scenes)))
        keeps_words = False
        try:
            for number, scene in enumerate(scenes, 1):
                click.echo(f"{number} of {len(scenes)}: {scene.name}")
                self._sights.append(await self._play(scene))
            keeps_words = await self._ask_for_words()
        except asyncio.CancelledError:
            # By Ctrl-C, in the middle of a line.
            click.echo()
            raise
        finally:
            await self._take_away()
            await self._write(scenes, keeps_words=keeps_words)
        return EXIT_OK

    async def _ask_for_words(self) -> bool:
        """Whether the user's own words go into the report: they might name somebody, or say what a message says."""
        written = [sight for sight in self._sights if sight.kind is SightKind.OTHER]
        if not written:
            return False
        click.echo("\nThese words of yours would stand in the report:")
        for sight in written:
            click.echo(f"  {sight.scene}: {sight.words}")
        click.echo("Do they tell of nobody and of no message, so that they may? [y/n]: ", nl=False)
        return clean_line(await read_line(), _ANSWER_LIMIT).lower() in _YES

    async def _play(self, scene: Scene) -> Sight:
        self._heard = []
        if (failure := await self._act(scene)) is not None:
            click.echo(f"  not shown: {failure}")
            return Sight(scene.name, SightKind.FAILED, failure)
        click.echo(f"  {scene.expected}")
        click.echo("  Is it so? [y/n/what instead]: ", nl=False)
        line = await read_line()
        if not line:
            raise click.Abort
        answer = clean_line(line, _ANSWER_LIMIT)
        kind = SightKind.OTHER
        if not answer:
            kind = SightKind.LEFT_OUT
        elif answer.lower() in _YES:
            kind = SightKind.YES
        elif answer.lower() in _NO:
            kind = SightKind.NO
        return Sight(scene.name, kind, answer if kind is SightKind.OTHER else "", tuple(self._heard))

    async def _act(self, scene: Scene) -> str | None:
        """Has the scene happen. Returns why that did not work, or None."""
        if scene.cue is Cue.ASK:
            return None
        if scene.cue is Cue.SHOW:
            await self._take_away()
        elif self._popup is None and self._shown is not None:
            # Most servers take a popup away after some seconds, and the user may have closed it.
            click.echo("  The notification is gone already: it comes again first.")
            if (failure := await self._show(self._shown)) is not None:
                return failure
        await asyncio.sleep(_LOOK_UP_S)
        if scene.notification is None:
            await self._take_away()
            return None
        return await self._show(scene.notification)

    async def _show(self, notification: Notification) -> str | None:
        outcome = await self._desktop.show(notification, self._popup)
        if isinstance(outcome, Done):
            self._popup, self._shown = outcome.value, notification
            return None
        return clean_line(outcome.title if isinstance(outcome, NeedsUser) else outcome.why, _ANSWER_LIMIT)

    async def _take_away(self) -> None:
        popup, self._popup = self._popup, None
        if popup is not None:
            await self._desktop.close(popup)

    def _hear(self, signal: DesktopSignal) -> None:
        match signal:
            case Activated(popup, action, _) if popup == self._popup:
                self._heard.append("it was clicked" if action == "default" else f"the button {action} was pressed")
            case Replied(popup, _) if popup == self._popup:
                # Not the text: it might be meant for somebody.
                self._heard.append("a reply was typed")
            case Closed(popup, reason) if popup == self._popup:
                self._heard.append(_CLOSINGS[reason])
                self._popup = None

    async def _write(self, scenes: list[Scene], *, keeps_words: bool) -> None:
        names = [scene.name for scene in scenes[len(self._sights) :]]
        sights = self._sights if keeps_words else list(map(without_words, self._sights))
        report = write_report(self._surroundings, sights, names)
        await asyncio.to_thread(write_private_file, report_file(), report.encode())
        click.echo(f"The report is in {report_file()}")
        click.echo("It names your notification server and says what you answered, and neither you nor this machine.")
        if names:
            click.echo(f"The walk was ended early: {len(names)} of {len(scenes)} scenes are missing.")
