"""The screen is locked, or the user does not want to be disturbed."""

from __future__ import annotations

import asyncio

from desktops.desktop import Wrong
from desktops.scene import Scene
from desktops.sight import squash
from desktops.situations.messages import call
from heliograph.core.popups.quiet import DO_NOT_DISTURB


async def locked(scene: Scene) -> None:
    """Strangers who pass by learn no word of it, and the next message after that is news."""
    word, news = scene.word(), scene.word()
    await scene.desktop.set_locked(is_locked=True)
    try:
        await scene.write("Alice", f"The code is {word}")
        await asyncio.sleep(4)
        await scene.picture("while-locked")
        if squash(word) in squash(await scene.desktop.read_screen()):
            raise Wrong("the locked screen shows the message")
    finally:
        await scene.desktop.set_locked(is_locked=False)
    await asyncio.sleep(3)
    await scene.is_kept(word)
    await scene.forget_sounds()
    await scene.write("Alice", f"After that the {news}")
    await scene.pops_up(news)
    await scene.picture()
    await scene.sounds(1)


async def locked_beside_a_popup(scene: Scene) -> None:
    """After every lunch break: what was up before does not swallow what comes after."""
    word, news = scene.word(), scene.word()
    await scene.write("Alice", f"Before the {word}")
    await scene.pops_up(word)
    await scene.is_off_the_screen(word)
    await scene.desktop.set_locked(is_locked=True)
    await asyncio.sleep(3)
    await scene.picture("while-locked")
    shows = squash(word) in squash(await scene.desktop.read_screen())
    await scene.desktop.set_locked(is_locked=False)
    if shows:
        raise Wrong("the locked screen shows the message")
    await asyncio.sleep(3)
    await scene.forget_sounds()
    await scene.write("Alice", f"After the {news}")
    await scene.pops_up(news)
    await scene.sounds(1)


async def do_not_disturb(scene: Scene) -> None:
    word, news = scene.word(), scene.word()
    await scene.desktop.set_do_not_disturb(is_on=True)
    try:
        await scene.forget_sounds()
        await scene.write("Alice", f"Not now: {word}")
        await scene.does_not_pop_up(word)
        await scene.sounds(0)
    finally:
        await scene.desktop.set_do_not_disturb(is_on=False)
    await asyncio.sleep(2)
    await scene.is_kept(word)
    await scene.forget_sounds()
    await scene.write("Alice", f"But now the {news}")
    await scene.pops_up(news)
    await scene.picture()
    await scene.sounds(1)


async def call_during_do_not_disturb(scene: Scene) -> None:
    word = scene.word()
    await scene.desktop.set_do_not_disturb(is_on=True)
    try:
        await scene.write("Alice", f"Not now: {word}")
        await asyncio.sleep(3)
        await scene.forget_sounds()
        await call(scene)
    finally:
        await scene.desktop.set_do_not_disturb(is_on=False)


async def told_in_status(scene: Scene) -> None:
    """Who wonders why nothing rings is told, of a message that came meanwhile at the latest."""
    await scene.desktop.set_do_not_disturb(is_on=True)
    try:
        await scene.write("Alice", f"Not now: {scene.word()}")

        async def is_told() -> bool:
            return DO_NOT_DISTURB in await scene.machine.user("heliograph", "status")

        await scene.until_true(is_told, "`heliograph status` does not tell that the desktop does not disturb")
    finally:
        await scene.desktop.set_do_not_disturb(is_on=False)


QUIET = {
    "locked": locked,
    "locked-beside-a-popup": locked_beside_a_popup,
    "do-not-disturb": do_not_disturb,
    "call-in-do-not-disturb": call_during_do_not_disturb,
    "told-in-status": told_in_status,
}
