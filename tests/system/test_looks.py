"""How a message on a real homeserver looks: its picture, its formats, its thread, and what is not shown."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from conftest import NewUser
from fakes.notification_banners import Shown
from fakes.notification_server import NotificationServer
from heliograph.accounts import config_file, state_folder
from heliograph.demo.user import DemoUser
from support.buses import PrivateBus
from support.waiting import until
from system.daemon import Daemon, sign_in

MAGENTA = (255, 0, 255)


@dataclass
class Scene:
    me: DemoUser
    alice: DemoUser
    screen: NotificationServer
    room: str

    async def shown(self, text: str) -> Shown:
        found = await until(
            lambda: [each for each in self.screen.shown if text in each.body], f"a notification saying {text!r}"
        )
        assert isinstance(found, list)
        return found[-1]  # type: ignore[no-any-return]


@pytest.fixture
async def scene(new_user: NewUser, private_bus: PrivateBus) -> AsyncIterator[Scene]:
    me, alice = await new_user("me"), await new_user("alice")
    await alice.set_display_name("Alice")
    await alice.call(
        "PUT", f"/_matrix/client/v3/profile/{alice.user_id}/avatar_url", {"avatar_url": await upload(alice)}
    )
    room = await alice.create_room("Lunch", invite=[me])
    await me.join(room)
    await sign_in(me)
    screen = NotificationServer(private_bus.address)
    await screen.start()
    yield Scene(me, alice, screen, room)
    await screen.stop()


async def upload(user: DemoUser) -> str:
    """A picture; its mxc: URI."""
    file = io.BytesIO()
    Image.new("RGB", (300, 200), MAGENTA).save(file, "PNG")
    headers = {"Authorization": f"Bearer {user.access_token}", "Content-Type": "image/png"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{user.base_url}/_matrix/media/v3/upload", data=file.getvalue(), headers=headers) as answer,
    ):
        answer.raise_for_status()
        return str((await answer.json())["content_uri"])


async def send_html(scene: Scene, body: str, html: str, thread: str | None = None) -> str:
    content = {"msgtype": "m.text", "body": body, "format": "org.matrix.custom.html", "formatted_body": html}
    if thread is not None:
        content |= {"m.relates_to": {"rel_type": "m.thread", "event_id": thread}}  # type: ignore[dict-item]
    return await scene.alice.send_event(scene.room, "m.room.message", content)


async def with_picture(scene: Scene) -> Shown | None:
    """The newest notification, if it has one; if not, there will be another."""
    shown = scene.screen.shown[-1]
    if "image-data" in shown.hints:
        return shown
    text = f"another, number {len(scene.screen.shown)}"
    await scene.alice.send_text(scene.room, text)
    await scene.shown(text)
    return None


async def test_a_message_has_its_senders_picture_its_formats_and_the_name_of_its_thread(scene: Scene) -> None:
    async with Daemon():
        html = "<b>Noodles</b>? The <span data-mx-spoiler>butler</span> says so.<script>x</script>"
        root = await send_html(scene, "Noodles? The butler says so.", html)
        shown = await scene.shown("Noodles")
        assert shown.body == "<b>Alice</b>: <b>Noodles</b>? The [spoiler] says so."
        await send_html(scene, "At noon", "At <i>noon</i>", thread=root)
        threaded = await scene.shown("<i>noon</i>")
        assert "in “Noodles? The [spoiler] says so.”" in threaded.body
        # A popup waits for its picture for half a second; where the machine is slower, the next one has it.
        pictured = await until(lambda: with_picture(scene), "a notification with a picture")
    width, height, _, has_alpha, bits, channels, pixels = pictured.hints["image-data"]
    assert (width, height, has_alpha, bits, channels) == (48, 48, True, 8, 4)
    assert tuple(pixels[:4]) == (*MAGENTA, 255)


async def test_what_is_hidden_is_neither_shown_nor_kept(scene: Scene) -> None:
    file = config_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'[privacy]\nshow = "sender"\nhidden = ["{scene.alice.user_id}"]\n')
    async with Daemon():
        await scene.alice.send_text(scene.room, "a quokka says hello")
        await until(lambda: scene.screen.shown, "a notification")
    (shown,) = scene.screen.shown
    assert (shown.summary, shown.body) == ("New message", "")
    assert "image-data" not in shown.hints
    assert not any(b"quokka" in kept.read_bytes() for kept in files(state_folder(scene.me.user_id)))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
