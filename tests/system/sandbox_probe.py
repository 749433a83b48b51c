"""Tries what the unit's sandbox must not allow, and prints what went through. Run by systemd within the sandbox, and
outside it for comparison."""

from __future__ import annotations

import asyncio
import ctypes
import io
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from heliograph.desktop.decoder import Decoder

_CLONE_NEWUSER = 0x10000000
_PERSONALITY_PER_LINUX32 = 0x0008


def main() -> None:
    """The names of what was allowed, one in a line, into the file that is named first."""
    attempts: dict[str, Callable[[], object]] = {
        "write to the home folder": lambda: (Path.home() / "probe").write_text("x"),
        "write to ~/.config": lambda: (Path.home() / ".config/probe").write_text("x"),
        "write to /tmp": lambda: Path("/tmp/probe").write_text("x"),
        "write to the own state": lambda: (Path(sys.argv[1]).parent / "probe").write_text("x"),
        "map memory to write and execute": lambda: mmap.mmap(
            -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        ),
        "make written memory executable": _make_executable,
        "open a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM),
        "make a user namespace": lambda: _call("unshare", _CLONE_NEWUSER),
        "change the personality": lambda: _call("personality", _PERSONALITY_PER_LINUX32),
        "decode a picture in a process of its own": _decode,
        "open an internet socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    }
    allowed = [name for name, attempt in attempts.items() if _is_allowed(attempt)]
    Path(sys.argv[1]).write_text("\n".join(allowed))


def _is_allowed(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


def _decode() -> None:
    """As avatars are."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    if asyncio.run(Decoder().decode(file.getvalue(), 8)) is None:
        raise OSError("no pixels came back")


def _make_executable() -> None:
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    _call("mprotect", ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC)


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
