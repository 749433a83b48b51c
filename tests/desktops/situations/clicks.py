"""The user clicks and types."""

from __future__ import annotations

import asyncio

from desktops.scene import Scene


async def reply(scene: Scene) -> None:
    """Typed into the popup, or else in the client, which opens the room."""
    word, answer = scene.word(), scene.word()
    await scene.write("Alice", f"Do you know the {word}")
    await scene.pops_up(word)
    if scene.desktop.takes_text:
        await scene.desktop.type_reply(answer)
        await scene.picture()

        async def is_sent() -> bool:
            return answer in await scene.messages(scene.direct)

        await scene.until_true(is_sent, "what was typed was not sent")
    else:
        before = await scene.machine.opened()
        await scene.desktop.press(scene.desktop.opening)

        async def is_open() -> bool:
            return (await scene.machine.opened()) != before

        await scene.until_true(is_open, "it was clicked, and no client was opened")
    await scene.goes(word)


async def mark_as_read(scene: Scene) -> None:
    word = scene.word()
    await scene.write("Alice", f"No hurry with the {word}")
    await scene.pops_up(word)
    await scene.desktop.press(scene.desktop.marking)
    await scene.until_true(lambda: scene.is_read(scene.direct), "Mark as read was clicked, and it is not read")
    await scene.goes(word)


async def mute(scene: Scene) -> None:
    word = scene.word()
    room = await scene.new_room("Noise", "Bob")
    await scene.write("Bob", f"Louder than a {word}", room)
    await scene.pops_up(word)
    await scene.desktop.press("Mute…")
    await scene.pops_up("Mute Noise")
    await asyncio.sleep(1)
    await scene.picture()
    if scene.desktop.draws_buttons:
        await scene.could_be_read("For ever")
    await scene.desktop.press("For ever")

    async def is_muted() -> bool:
        rules = (await scene.me.call("GET", "/pushrules/"))["global"]["override"]
        return any(rule["rule_id"] == room and not rule["actions"] for rule in rules)

    await scene.until_true(is_muted, "For ever was clicked, and the room is not mute")


async def closed_then_next(scene: Scene) -> None:
    word, news = scene.word(), scene.word()
    await scene.write("Alice", f"Never mind the {word}")
    await scene.pops_up(word)
    await scene.desktop.dismiss()
    await scene.goes(word)
    # Two within two seconds are heard as one.
    await asyncio.sleep(2)
    await scene.forget_sounds()
    await scene.write("Alice", f"But the {news} matters")
    await scene.pops_up(news)
    await scene.picture()
    await scene.sounds(1)


CLICKS = {"reply": reply, "mark-as-read": mark_as_read, "mute": mute, "closed-then-next": closed_then_next}
