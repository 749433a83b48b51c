"""Restarts, much at once, and how the program is found in the desktop's settings."""

from __future__ import annotations

import asyncio
import time

from desktops.desktop import Wrong
from desktops.scene import Scene
from desktops.sight import squash

_MANY = 50
_ROOMS = 12
_AWAY_ROOMS = 7
_SOUND_EVERY_S = 2


async def daemon_restarted(scene: Scene) -> None:
    """The list has again what it had, and nothing pops up or is heard for that."""
    word, other, news = scene.word(), scene.word(), scene.word()
    # One after the other: beside a banner GNOME Shell shows no second one.
    for name, text in (("Alice", f"Remember the {word}"), ("Bob", f"And the {other}")):
        await scene.write(name, text)
        await scene.pops_up(text)
        await scene.is_off_the_screen(text)
    await scene.forget_sounds()
    await scene.machine.control_daemon("restart")
    await scene.does_not_pop_up(word, 5)
    await scene.is_kept(other)
    if not scene.desktop.folds_list:
        await scene.is_kept(word)
    await scene.sounds(0)
    await scene.write("Alice", f"Then the {news}")
    await scene.pops_up(news)
    await scene.picture()
    await scene.sounds(1)


async def server_restarted(scene: Scene) -> None:
    """What shows notifications lost them all; the next is shown."""
    word, news = scene.word(), scene.word()
    await scene.write("Alice", f"Remember the {word}")
    await scene.pops_up(word)
    await scene.desktop.restart_server()
    await asyncio.sleep(3)
    await scene.picture("restarted")
    await scene.forget_sounds()
    await scene.write("Alice", f"Then the {news}")
    await scene.pops_up(news)
    await scene.picture()
    await scene.sounds(1)


async def many_at_once(scene: Scene) -> None:
    """Fifty messages in ten seconds: the newest is seen, and it is not heard fifty times."""
    await scene.forget_sounds()
    before = await scene.machine.count_sounds()
    word = scene.word()
    began = time.monotonic()
    for number in range(_MANY):
        text = f"The {word} is here" if number == _MANY - 1 else f"Number {number}"
        await scene.write("Alice", text)
        await asyncio.sleep(0.15)
    await scene.pops_up(word)
    await scene.picture()
    heard = await scene.machine.count_sounds() - before
    if not 1 <= heard <= 1 + (time.monotonic() - began) / _SOUND_EVERY_S:
        raise Wrong(f"{heard} sounds were heard for {_MANY} messages")


async def many_rooms(scene: Scene) -> None:
    """Twelve rooms while the user looks on: none is lost."""
    words = [scene.word() for _ in range(_ROOMS)]
    rooms = [await scene.new_room(f"Room {word}", "Bob") for word in words]
    await asyncio.sleep(3)
    seen = ""
    for room, word in zip(rooms, words, strict=True):
        await scene.write("Bob", f"Here is {word}", room)
        await asyncio.sleep(3)
        seen += await scene.desktop.popups()
    await asyncio.sleep(3)
    await scene.picture()
    seen += await scene.desktop.popups() + (await scene.desktop.kept() if scene.desktop.has_list else "")
    lost = [word for word in words if squash(word) not in squash(seen)]
    if lost:
        raise Wrong(f"{len(lost)} of {_ROOMS} rooms were not seen: {', '.join(lost)}")


async def after_an_absence(scene: Scene) -> None:
    """One summary and one sound for what came meanwhile, which can be read in a line."""
    names = [f"Group {scene.word()}" for _ in range(_AWAY_ROOMS)]
    rooms = [await scene.new_room(name, "Carol") for name in names]
    await asyncio.sleep(2)
    await scene.machine.control_daemon("stop")
    for room in rooms:
        await scene.write("Carol", "Me: hello there", room, mentions=[scene.me])
    await scene.forget_sounds()
    await scene.machine.control_daemon("start")
    await scene.pops_up(f"{_AWAY_ROOMS} new messages")
    await scene.picture()
    await scene.sounds(1)


async def one_sound(scene: Scene) -> None:
    """For three messages within a moment."""
    words = [scene.word() for _ in range(3)]
    for word in words:
        await scene.write("Alice", f"Quick: {word}")
    await scene.pops_up(words[-1])
    await scene.sounds(1)


async def in_settings(scene: Scene) -> None:
    """The program is named on its popups, and listed where notifications are set, so that it can be muted there."""
    word = scene.word()
    await scene.write("Alice", f"Whose {word}")
    await scene.pops_up(word)
    told = await scene.desktop.names_in_settings()
    await scene.picture()
    if squash("Heliograph") not in squash(told):
        raise Wrong(f"the settings do not list it: {' '.join(told.split())[:300]}")


ABSENCE = {
    "daemon-restarted": daemon_restarted,
    "server-restarted": server_restarted,
    "many-at-once": many_at_once,
    "many-rooms": many_rooms,
    "after-an-absence": after_an_absence,
    "one-sound": one_sound,
    "in-settings": in_settings,
}
