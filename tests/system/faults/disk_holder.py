"""Mounts a small tmpfs on each of the folders named, and does as it is told, until its standard input ends.

It runs in namespaces of its own, see `disk.py`. Each line of input is JSON, and answered by a line of JSON:

    ["remount", FOLDER, IS_READ_ONLY]    null
    ["query", FILE, SQL]                 the rows that a SQLite file has
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sqlite3
import sys
from typing import Any

MS_RDONLY, MS_REMOUNT, MS_REC, MS_PRIVATE = 1, 32, 1 << 14, 1 << 18
OPTIONS = b"size=6m,mode=0700"


def mount(folder: str, flags: int, kind: bytes | None = b"tmpfs", options: bytes | None = OPTIONS) -> None:
    """As mount(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(kind, folder.encode(), kind, flags, options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), folder)


def query(file: str, sql: str) -> list[Any]:
    """Rows. SQLite follows /proc/PID/root to the file of that name outside, so it is asked in here."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def main() -> None:
    mount("/", MS_REC | MS_PRIVATE, None, None)
    for folder in sys.argv[1:]:
        mount(folder, 0)
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        match json.loads(line):
            case "remount", folder, is_read_only:
                mount(folder, MS_REMOUNT | (MS_RDONLY if is_read_only else 0))
                print("null", flush=True)
            case "query", file, sql:
                print(json.dumps(query(file, sql)), flush=True)


if __name__ == "__main__":
    main()
