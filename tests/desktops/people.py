"""Those who write: each with a name, and a picture of one colour by which it is found on a screen."""

from __future__ import annotations

import io

import aiohttp
from PIL import Image, ImageDraw, ImageFont

from desktops.sight import Colour
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser

COLOURS: dict[str, Colour] = {
    **{"Alice": (181, 87, 125), "Bob": (77, 127, 92), "Carol": (180, 120, 60), "Dave": (109, 95, 168)},
}
_SIZE = 96


async def register(synapse: ThrowawaySynapse, name: str) -> DemoUser:
    """A user of this display name; with a picture if that has a colour."""
    user = await synapse.register(name.lower())
    await user.set_display_name(name)
    if (colour := COLOURS.get(name)) is not None:
        uri = await upload(user, _draw(name[0], colour))
        await user.call("PUT", f"/profile/{user.user_id}/avatar_url", {"avatar_url": uri})
    return user


async def upload(user: DemoUser, picture: bytes) -> str:
    """The mxc: address of that PNG."""
    headers = {"Authorization": f"Bearer {user.access_token}", "Content-Type": "image/png"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{user.base_url}/_matrix/media/v3/upload", data=picture) as response,
    ):
        return str((await response.json())["content_uri"])


def _draw(letter: str, colour: Colour) -> bytes:
    image = Image.new("RGB", (_SIZE, _SIZE), colour)
    middle = (_SIZE // 2, _SIZE // 2)
    ImageDraw.Draw(image).text(middle, letter, fill="white", font=ImageFont.load_default(52), anchor="mm")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
