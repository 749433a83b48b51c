"""Shows one notification of each kind through the real back end, and tells what comes back: `heliograph test`."""

from __future__ import annotations

import asyncio
import contextlib

import click

from heliograph.accounts import sounds_folder
from heliograph.config.settings import Config
from heliograph.core.delivery import Done, NeedsUser
from heliograph.core.notification import Activated, Closed, Closing, DesktopSignal, Popup, Replied
from heliograph.core.popups.capabilities import word_capabilities
from heliograph.core.popups.profiles import word_profile
from heliograph.core.popups.samples import sample_notifications
from heliograph.core.text.clean import clean_line
from heliograph.desktop.choice import open_desktop
from heliograph.desktop.freedesktop import FreedesktopDesktop
from heliograph.desktop.sounds import Sounds
from heliograph.errors import EXIT_FAILED, EXIT_OK
from heliograph.ports.desktop import Desktop

_CLOSINGS = {
    Closing.EXPIRED: "went by itself",
    Closing.DISMISSED: "you closed it",
    Closing.CALLED: "was taken away",
    Closing.UNDEFINED: "is gone",
}


async def try_notifications(config: Config, seconds: int, *, only_ask: bool) -> int:
    """Shows the notifications and waits for signals for `seconds`. `only_ask`: shows nothing, and only tells what the
    back end can do. Returns the exit code. Raises UserError if the back end cannot work."""
    sounds = Sounds(sounds_folder(), config.notifications.sound)
    desktop = await open_desktop(config.desktop.backend, sounds=sounds)
    try:
        return await _Trial(desktop, seconds).run(only_ask=only_ask)
    finally:
        await desktop.shut()


class _Trial:
    def __init__(self, desktop: Desktop, seconds: int) -> None:
        self._desktop = desktop
        self._seconds = seconds
        self._on_screen: dict[Popup, str] = {}
        self._all_gone = asyncio.Event()

    async def run(self, *, only_ask: bool) -> int:
        # Before the first is shown, since a server may answer at once.
        self._desktop.listen(self._hear)
        if only_ask:
            return await self._describe()
        if isinstance(self._desktop, FreedesktopDesktop):
            # Only then the layout that the server likes is known.
            await self._desktop.traits()
        failures = 0
        for kind, notification in sample_notifications(self._desktop.profile.layout):
            outcome = await self._desktop.show(notification, None)
            if isinstance(outcome, Done):
                self._on_screen[outcome.value] = kind
                click.echo(f"Shown: {kind}")
                continue
            failures += 1
            why = f"{outcome.title} {outcome.hint}" if isinstance(outcome, NeedsUser) else outcome.why
            click.echo(f"Not shown: {kind} ({why})", err=True)
        code = await self._describe()
        await self._wait()
        return EXIT_FAILED if failures else code

    async def _describe(self) -> int:
        if not isinstance(self._desktop, FreedesktopDesktop):
            click.echo(f"Notifications go to {self._desktop.server_name}: text only, no clicks, never taken away.")
            return EXIT_OK
        traits = await self._desktop.traits()
        if traits is None:
            click.echo("No notification server answers. Start your desktop's, or install one: dunst, mako.", err=True)
            return EXIT_FAILED
        click.echo(f"{traits.title}:")
        click.echo(f"  profile: {word_profile(traits.profile)}")
        for reason in traits.profile.reasons:
            click.echo(f"       {reason}")
        for can, words in word_capabilities(traits.capabilities):
            click.echo(f"  {'yes' if can else 'no ':3}  {words}")
        click.echo(f"  it says: {', '.join(sorted(traits.capabilities)) or 'nothing'}")
        if traits.hint:
            click.echo(f"  {traits.hint}")
        if self._desktop.is_inhibited:
            click.echo(f"  Notifications are held back ({self._desktop.why_inhibited}): at most its list has them.")
        return EXIT_OK

    async def _wait(self) -> None:
        if not isinstance(self._desktop, FreedesktopDesktop) or not self._on_screen:
            return
        click.echo(f"Click or close them: they stay for {self._seconds} s. Ctrl-C ends it.")
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._all_gone.wait()
        finally:
            # Also after Ctrl-C. Forgotten before it is closed, so that its Closed signal is not told as something the
            # user did.
            for popup in tuple(self._on_screen):
                del self._on_screen[popup]
                await self._desktop.close(popup)

    def _hear(self, signal: DesktopSignal) -> None:
        match signal:
            case Activated(popup, action, _) if popup in self._on_screen:
                what = "you clicked it" if action == "default" else f"you chose {action!r}"
                click.echo(f"{self._on_screen[popup]}: {what}")
            case Replied(popup, text) if popup in self._on_screen:
                click.echo(f"{self._on_screen[popup]}: you answered {clean_line(text, 100)!r}, which goes nowhere")
            case Closed(popup, reason) if popup in self._on_screen:
                click.echo(f"{self._on_screen.pop(popup)}: {_CLOSINGS[reason]}")
                if not self._on_screen:
                    self._all_gone.set()
