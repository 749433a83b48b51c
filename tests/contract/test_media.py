"""Which pictures a Synapse gives, and how it refuses the others: there is no fake of it, tests hand pictures over."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from conftest import NewUser
from contract.outcomes import ExpectRefusals
from heliograph.demo.homeserver import ThrowawaySynapse
from heliograph.demo.user import DemoUser
from heliograph.errors import LoggedOut, Refused
from heliograph.homeserver.media import Media
from heliograph.homeserver.session import Session

pytestmark = pytest.mark.real

PNG_HEAD = b"\x89PNG"
DOT = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
NO_PICTURE = (400, "M_UNKNOWN")
THUMBNAIL = "GET /_matrix/client/v1/media/thumbnail/*/*"


@dataclass
class Place:
    me: DemoUser
    media: Media

    async def upload(self, body: bytes, content_type: str) -> str:
        """The mxc: URI."""
        headers = {"Authorization": f"Bearer {self.me.access_token}", "Content-Type": content_type}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(f"{self.me.base_url}/_matrix/media/v3/upload", data=body) as answer,
        ):
            return str((await answer.json())["content_uri"])


@pytest.fixture
async def place(synapse: ThrowawaySynapse, new_user: NewUser) -> AsyncIterator[Place]:
    me = await new_user("me")
    session = Session(synapse.base_url, access_token=me.access_token, user_id=me.user_id, device_id=me.device_id)
    yield Place(me, Media(session))
    await session.close()


@pytest.mark.parametrize("side", [1, 64, 96, 100_000])
async def test_a_picture_comes_in_about_the_size_asked_for(place: Place, side: int) -> None:
    uri = await place.upload(DOT, "image/png")
    assert (await place.media.thumbnail(uri, side)).startswith(PNG_HEAD)


@pytest.mark.parametrize(
    ("body", "content_type"), [(b"x", "text/plain"), (b"x", "image/png"), (b"<svg/>", "image/svg+xml")]
)
async def test_a_file_that_is_no_picture_is_refused(
    place: Place, body: bytes, content_type: str, expect_refusals: ExpectRefusals
) -> None:
    expect_refusals(f"400 {THUMBNAIL}")
    uri = await place.upload(body, content_type)
    assert await refusal(place.media, uri) == NO_PICTURE


@pytest.mark.parametrize(
    ("uri", "outcome"),
    [
        ("mxc://localhost/unknown", (404, "M_NOT_FOUND")),
        ("mxc://elsewhere.example/x", (403, "M_FORBIDDEN")),
        # These are not asked for at all.
        ("mxc://localhost/..", (404, "")),
        ("mxc://localhost/a b", (404, "")),
        ("mxc://in_valid/x", (404, "")),
        ("nonsense", (404, "")),
    ],
)
async def test_a_picture_that_is_not_there_is_refused(
    place: Place, uri: str, outcome: tuple[int, str], expect_refusals: ExpectRefusals
) -> None:
    if outcome[1]:
        expect_refusals(f"{outcome[0]} {THUMBNAIL}")
    assert await refusal(place.media, uri) == outcome


async def test_a_device_that_is_signed_out_gets_no_pictures(place: Place, expect_refusals: ExpectRefusals) -> None:
    expect_refusals(f"401 {THUMBNAIL}")
    uri = await place.upload(DOT, "image/png")
    await place.me.logout()
    with pytest.raises(LoggedOut):
        await place.media.thumbnail(uri, 64)


async def refusal(media: Media, uri: str) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await media.thumbnail(uri, 64)
    return caught.value.status, caught.value.errcode
