"""`tests/fresh/run`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fresh.chapters import CHAPTERS, Typist
from fresh.tree import Tree, make_archive

RELEASES = ("bookworm", "trixie", "forky")
USERS = ("root", "ada")


def main() -> int:
    parser = argparse.ArgumentParser(description="Types the documentation's lines on fresh Debian machines.")
    parser.add_argument("--release", action="append", choices=RELEASES, help="repeatable; none: all")
    parser.add_argument("--user", action="append", choices=USERS, help="repeatable; none: both")
    parser.add_argument("--only", type=_names, default=list(CHAPTERS), help=f"of {','.join(CHAPTERS)}")
    parser.add_argument("--folder", type=Path, help="for trees and logs; otherwise a temporary one")
    parser.add_argument("--keep", action="store_true", help="leave the trees there")
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        parser.error("it needs root, and Debian's package mmdebstrap")
    # So that whoever stops it leaves nothing running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = options.folder or Path(tempfile.mkdtemp(prefix="heliograph-fresh-", dir="/var/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Trees and logs are in {folder}", flush=True)
    releases, users = options.release or RELEASES, options.user or USERS
    for left in (folder / f"{release}-{user}" for release in releases for user in users):
        if left.exists():
            parser.error(f"{left} is there already, maybe from a run before: remove it, or name another --folder")
    failed = 0
    for release in releases:
        archive = folder / f"{release}.tar"
        if not archive.exists():
            make_archive(release, archive)
        for user in users:
            failed += not _play(archive, folder / f"{release}-{user}", release, user, options.only, keep=options.keep)
    print("All is well" if not failed else f"{failed} of these machines failed")
    return 1 if failed else 0


def _play(archive: Path, folder: Path, release: str, user: str, chapters: Sequence[str], *, keep: bool) -> bool:
    """Whether every line ended as it should on a machine of this release, typed by this user."""
    log = folder.with_suffix(".log")
    log.unlink(missing_ok=True)
    with Tree(archive, folder, user) as tree:
        typist = Typist(tree, log, _say(release, user))
        is_good = True
        for name in chapters:
            is_good &= CHAPTERS[name](typist)
            tree.halt()
    if not keep:
        tree.remove()
    return is_good


def _say(release: str, user: str) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: print(f"{release:9}{user:5}{time.monotonic() - began:6.0f} s  {text}", flush=True)


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(CHAPTERS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return [name for name in CHAPTERS if name in names]


if __name__ == "__main__":
    sys.exit(main())
