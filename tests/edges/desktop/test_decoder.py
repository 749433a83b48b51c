"""Pictures from strangers, decoded by a process of its own."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from heliograph.core.notification import Picture
from heliograph.desktop import decoder
from heliograph.desktop.decoder import MAX_BYTES, Decoder, is_picture


def picture(form: str, size: tuple[int, int] = (200, 100), colour: str = "red", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_a_picture_becomes_a_square_of_pixels(form: str) -> None:
    found = await Decoder().decode(picture(form), 32)
    assert found is not None
    assert (found.width, found.height, len(found.pixels)) == (32, 32, 32 * 32 * 4)
    red, green, blue, opacity = found.pixels[:4]
    assert red > 240
    assert green < 16
    assert blue < 16
    assert opacity == 255


async def test_what_is_transparent_stays_so() -> None:
    found = await Decoder().decode(picture("PNG", colour="#00000000", mode="RGBA"), 8)
    assert found == Picture(8, 8, bytes(8 * 8 * 4))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes, of which a gigabyte would come."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


REFUSED = {
    "a bomb": bomb(16_000, 16_000),
    "a large one": picture("PNG", (3000, 3000)),
    "no width": bomb(0, 10),
    "a lie about its size": bomb(2000, 2000),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>',
    "SVG with a head": b'<?xml version="1.0"?><svg/>',
    "HTML": b"<html>",
    "PDF": b"%PDF-1.4",
    "TIFF": picture("TIFF"),
    "BMP": picture("BMP"),
    "ICO": picture("ICO", (32, 32)),
    "nothing": b"",
    "half a PNG": picture("PNG")[:40],
    "noise behind a JPEG's first bytes": b"\xff\xd8\xff" + bytes(range(256)) * 40,
    "TIFF behind a PNG's first bytes": b"\x89PNG\r\n\x1a\n" + picture("TIFF"),
    "too many bytes": b"\x89PNG\r\n\x1a\n" + bytes(MAX_BYTES),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_no_small_picture_is_not_shown(data: bytes) -> None:
    assert await Decoder().decode(data, 96) is None


def test_only_four_types_are_looked_at_further() -> None:
    assert [form for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP") if is_picture(picture(form))] == [
        "PNG",
        "JPEG",
        "WEBP",
        "GIF",
    ]


async def test_a_decoder_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("import time\ntime.sleep(3600)")
    monkeypatch.setattr(decoder, "_CHILD", child)
    monkeypatch.setattr(decoder, "_TIMEOUT_S", 1.0)
    assert await Decoder().decode(picture("PNG"), 8) is None


async def test_many_at_once_are_all_decoded() -> None:
    one = Decoder()
    found = await asyncio.gather(*(one.decode(picture("PNG"), 8) for _ in range(5)))
    assert all(found)
