"""What was read or deleted elsewhere goes: from the screen, and from the list where it went by itself."""

from __future__ import annotations

from desktops.scene import Scene


async def read_at_once(scene: Scene) -> None:
    word = await _show(scene)
    await scene.read(scene.direct)
    await scene.goes(word)
    await scene.picture()


async def read_later(scene: Scene) -> None:
    word = await _show(scene)
    await scene.is_off_the_screen(word)
    await scene.is_kept(word)
    await scene.read(scene.direct)
    await scene.goes(word)
    await scene.picture()


async def deleted_at_once(scene: Scene) -> None:
    word = await _show(scene)
    await scene.people["Alice"].redact(scene.direct, scene.last[scene.direct])
    await scene.goes(word)
    await scene.picture()


async def deleted_later(scene: Scene) -> None:
    word = await _show(scene)
    await scene.is_off_the_screen(word)
    await scene.people["Alice"].redact(scene.direct, scene.last[scene.direct])
    await scene.goes(word)
    await scene.picture()


async def _show(scene: Scene) -> str:
    word = scene.word()
    await scene.write("Alice", f"About the {word}")
    await scene.pops_up(word)
    return word


READING = {
    "read-at-once": read_at_once,
    "read-later": read_later,
    "deleted-at-once": deleted_at_once,
    "deleted-later": deleted_later,
}
