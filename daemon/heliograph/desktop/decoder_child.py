"""Turns a picture from a stranger into pixels, in a process of its own that can do nothing else.

Started for each picture: a decoder that is deceived has neither the access token nor the memory of the daemon, and
what a decompression bomb takes goes with it. Measured: in the daemon Pillow takes 5 MB; a process takes 0.1 s of time.

Standard input: the file. Standard output: width and height, 16 bits each, and the pixels (red, green, blue, opacity).
"""

from __future__ import annotations

import io
import resource
import struct
import sys

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MAX_BYTES = 512 * 1024
MAX_PIXELS = 4 * 1024 * 1024
_MEMORY = 384 * 1024 * 1024
_SECONDS = 3


def main() -> int:
    """Exit status 1: it is not shown."""
    side = int(sys.argv[1])
    from PIL import Image

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS or not min(image.size):
                return 1
            # Has a JPEG decoded at a fraction of its size, which saves time and memory. Other formats take no notice.
            image.draft("RGB", (2 * side, 2 * side))
            edge = min(image.size)
            left, top = (image.width - edge) // 2, (image.height - edge) // 2
            small = image.convert("RGBA").resize(
                (side, side), Image.Resampling.LANCZOS, box=(left, top, left + edge, top + edge)
            )
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not shown
        return 1
    sys.stdout.buffer.write(struct.pack(">HH", *small.size) + small.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
