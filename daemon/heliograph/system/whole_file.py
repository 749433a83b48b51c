"""Replaces a file whole or not at all, whatever the disk, the power or another program does meanwhile."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def replace_file(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Replaces `file` by one with this content: written beside it first, flushed to the disk, then renamed. The folder
    must exist.

    Raises OSError; `file` is as before then, and nothing is left beside it.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.new")
    # Left behind by a process with the same number, which was killed while it wrote.
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        _write(temporary, content, mode)
        # On the disk before it gets its name: after a power failure a renamed file may else be there and empty.
        temporary.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(file.parent)


def _write(file: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    # The renaming is a change of the folder, and not on the disk before the folder is.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
