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

from fresh.chapters import CHAPTERS, TESTS_SECONDS, Act, Typist
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
    parser.add_argument("--type", metavar="LINE", help="only this line, in trees that --keep left in --folder")
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        parser.error("it needs root, and Debian's package mmdebstrap")
    # So that whoever stops it leaves nothing running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.type and not options.folder:
        parser.error("--type needs the --folder in which --keep left trees")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="heliograph-fresh-", dir="/var/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Trees and logs are in {folder}", flush=True)
    releases, users = options.release or RELEASES, options.user or USERS
    trees = [(release, user) for release in releases for user in users]
    if refused := _refusal([folder / "-".join(tree) for tree in trees], are_kept=bool(options.type)):
        parser.error(refused)
    acts = [_type(options.type)] if options.type else [CHAPTERS[name] for name in options.only]
    keep = options.keep or bool(options.type)
    failed = sum(not _play(folder, release, user, acts, keep=keep) for release, user in trees)
    print("All is well" if not failed else f"{failed} of these machines failed")
    return 1 if failed else 0


def _refusal(trees: Sequence[Path], *, are_kept: bool) -> str:
    """What is wrong with these folders of trees, or nothing."""
    for tree in trees:
        if are_kept and not tree.exists():
            return f"{tree} is not there: make it by a run with --keep"
        if not are_kept and tree.exists():
            return f"{tree} is there already, maybe from a run before: remove it, or name another --folder"
    return ""


def _type(line: str) -> Act:
    return lambda typist: typist.type(line, seconds=TESTS_SECONDS)


def _play(folder: Path, release: str, user: str, acts: Sequence[Act], *, keep: bool) -> bool:
    """Whether every line ended as it should on a machine of this release, typed by this user."""
    archive = folder / f"{release}.tar"
    if not archive.exists():
        make_archive(release, archive)
    place = folder / f"{release}-{user}"
    log = place.with_suffix(".log")
    log.unlink(missing_ok=True)
    with Tree(archive, place, user) as tree:
        typist = Typist(tree, log, _say(release, user))
        is_good = True
        for act in acts:
            is_good &= act(typist)
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
