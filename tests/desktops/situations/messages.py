"""Messages, invites and calls come in."""

from __future__ import annotations

import asyncio

from desktops.desktop import Wrong
from desktops.scene import Scene
from desktops.sight import squash

_CALL = {"version": "1", "party_id": "a", "lifetime": 60_000, "offer": {"type": "offer", "sdp": "v=0"}}
_LONG = (
    "the ferry leaves at a quarter past nine, and whoever misses it has to walk around the whole bay, which takes two"
    " hours and is lovely only when the sun shines. Bring bread, cheese and something warm to wear. "
)


async def direct_message(scene: Scene) -> None:
    word = scene.word()
    await scene.write("Alice", f"The {word} is open: {_LONG * 2}")
    await scene.pops_up(word)
    await scene.sees_picture_of("Alice")
    await scene.could_be_read("Alice")
    await scene.sounds(1)
    await scene.is_kept(word)


async def group_messages(scene: Scene) -> None:
    words = [scene.word() for _ in range(3)]
    await scene.write("Bob", f"First the {words[0]}")
    await scene.pops_up(words[0])
    await scene.write("Carol", f"Then a {words[1]}")
    await asyncio.sleep(3)
    await scene.write("Carol", f"At last one {words[2]}")
    await scene.pops_up(words[2])
    await scene.sees_picture_of("Carol")
    await scene.could_be_read(words[2])
    await scene.sounds(0)
    await scene.is_off_the_screen(words[2])
    await scene.is_kept(words[2])


async def fresh_mention(scene: Scene) -> None:
    word = scene.word()
    await scene.write("Bob", f"Me: the {word}?", mentions=[scene.me])
    await scene.pops_up(word)
    await scene.picture()
    await scene.sounds(1)


async def mention_after_chatter(scene: Scene) -> None:
    chatter, word = scene.word(), scene.word()
    await scene.write("Bob", f"I saw a {chatter}")
    await scene.pops_up(chatter)
    await scene.is_off_the_screen(chatter)
    await scene.forget_sounds()
    await scene.write("Carol", f"Me: was it a {word}?", mentions=[scene.me])
    await scene.pops_up(word)
    await scene.picture()
    await scene.sounds(1)


async def mention_beside_chatter(scene: Scene) -> None:
    """While the chatter is still up."""
    chatter, word = scene.word(), scene.word()
    await scene.write("Bob", f"I saw a {chatter}")
    await scene.pops_up(chatter)
    await scene.write("Carol", f"Me: was it a {word}?", mentions=[scene.me])
    await scene.pops_up(word)
    await scene.picture()
    await scene.sounds(1)


async def invite(scene: Scene) -> None:
    room = await scene.people["Dave"].create_room("Weekend hike", invite=[scene.me])
    await scene.pops_up("Weekend hike")
    await scene.picture()
    await scene.desktop.press("Accept")

    async def is_joined() -> bool:
        return room in (await scene.me.call("GET", "/joined_rooms"))["joined_rooms"]

    await scene.until_true(is_joined, "Accept was clicked, and the room was not joined")
    await scene.goes("Weekend hike")


async def call(scene: Scene) -> None:
    call_id = await ring(scene)
    await scene.pops_up("voice call")
    await scene.picture()
    await scene.sounds(1)
    await hang_up(scene, call_id)


async def ring(scene: Scene) -> str:
    """Alice calls. The call's id."""
    call_id = f"call-{scene.word()}"
    await scene.people["Alice"].send_event(scene.direct, "m.call.invite", {**_CALL, "call_id": call_id})
    return call_id


async def hang_up(scene: Scene, call_id: str) -> None:
    hangup = {"call_id": call_id, "version": "1", "party_id": "a"}
    scene.last[scene.direct] = await scene.people["Alice"].send_event(scene.direct, "m.call.hangup", hangup)


async def missed_call(scene: Scene) -> None:
    call_id = await ring(scene)
    await scene.pops_up("voice call")
    await scene.forget_sounds()
    await hang_up(scene, call_id)
    await asyncio.sleep(2)
    await scene.picture()
    text = await _seen_anywhere(scene)
    if squash("voice call") in squash(text):
        raise Wrong("it still rings after the caller hung up")
    if squash("Missed call") not in squash(text):
        raise Wrong("nothing tells of the missed call")
    await scene.sounds(0)


async def _seen_anywhere(scene: Scene) -> str:
    """On the screen, or in the list."""
    return await scene.desktop.popups() + (await scene.desktop.kept() if scene.desktop.has_list else "")


async def call_after_an_edit(scene: Scene) -> None:
    word, other = scene.word(), scene.word()
    event = await scene.write("Alice", f"Look at the {word}")
    await scene.pops_up(word)
    await scene.is_off_the_screen(word)
    await scene.people["Alice"].edit(scene.direct, event, f"Look at the {other}")
    await asyncio.sleep(3)
    await scene.forget_sounds()
    await call(scene)


async def markup(scene: Scene) -> None:
    word = scene.word()
    await scene.write("Alice", f"<b>{word}</b> & <img src='file:///etc/passwd'> 🎉 שלום ≤ مرحبا")
    await scene.pops_up(word)
    await scene.picture()
    await scene.could_be_read("passwd")


async def edit(scene: Scene) -> None:
    """Silent, and the next message is news."""
    word, other, news = scene.word(), scene.word(), scene.word()
    event = await scene.write("Alice", f"See you at the {word}")
    await scene.pops_up(word)
    await scene.is_off_the_screen(word)
    await scene.forget_sounds()
    await scene.people["Alice"].edit(scene.direct, event, f"See you at the {other}")
    await scene.does_not_pop_up(other)
    await scene.is_kept(other)
    await scene.sounds(0)
    await scene.write("Alice", f"And bring the {news}")
    await scene.pops_up(news)
    await scene.picture()
    await scene.sounds(1)


async def edit_on_screen(scene: Scene) -> None:
    word, other = scene.word(), scene.word()
    event = await scene.write("Alice", f"See you at the {word}")
    await scene.pops_up(word)
    await scene.sounds(1)
    await scene.people["Alice"].edit(scene.direct, event, f"See you at the {other}")
    await scene.sounds(0)
    text = await _seen_anywhere(scene)
    await scene.picture()
    if squash(word) in squash(text) or squash(other) not in squash(text):
        raise Wrong(f"what was edited is not seen: {text}")


MESSAGES = {
    "direct-message": direct_message,
    "group-messages": group_messages,
    "fresh-mention": fresh_mention,
    "mention-beside-chatter": mention_beside_chatter,
    "mention-after-chatter": mention_after_chatter,
    "invite": invite,
    "call": call,
    "missed-call": missed_call,
    "call-after-an-edit": call_after_an_edit,
    "markup": markup,
    "edit-on-screen": edit_on_screen,
    "edit-then-news": edit,
}
