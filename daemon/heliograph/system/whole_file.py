"""A file that is replaced whole or not at all, whatever the disk, the power or another program does meanwhile."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def replace_file(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Put `content` in place of `file`: beside it first, onto the disk, then renamed. The folder must be there.

    Where that fails, `file` is as it was and nothing lies beside it. Raises OSError.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.new")
    # Of a process of the same number that was killed.
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        _write(temporary, content, mode)
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
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
