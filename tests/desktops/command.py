"""`tests/desktops/run`."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from desktops.packages import RELEASES
from desktops.pictures import take_pictures
from desktops.play import desktops, open_scene, play
from desktops.report import Outcome, Played, Verdict, tabulate
from desktops.situations import SITUATIONS
from desktops.tree import keep_tree
from support.log_guard import watching

_FOLDER = Path("/var/tmp/heliograph-desktops")


def main() -> int:
    options = _parse()
    # So that whoever stops it leaves nothing running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tree = keep_tree(options.folder, options.release, _say("tree"))
    pictures = options.pictures_in or options.folder / f"pictures-{options.release}"
    known = list(desktops(options.release))
    names = known if "all" in options.desktops else options.desktops
    pictures.mkdir(parents=True, exist_ok=True)
    played = []
    for name in names:
        say = _say(name)
        if options.type:
            asyncio.run(_type(tree, name, options.release, pictures, say))
        elif options.pictures:
            asyncio.run(_take(tree, name, options.release, pictures, options.pictures))
        else:
            played.append(_play_guarded(tree, name, options.release, pictures, options.only, say))
    if played:
        print(f"\n{tabulate(played)}\n\nPictures are in {pictures}", flush=True)
    return 0 if all(each.is_good for each in played) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Plays what happens to a user on real desktops.")
    choices = ["all", *desktops(RELEASES[0])]
    parser.add_argument("desktops", nargs="*", default=["all"], metavar="DESKTOP", help=f"of {', '.join(choices)}")
    parser.add_argument("--release", choices=RELEASES, default=RELEASES[0], help="of Debian")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help=f"for trees, which are kept; {_FOLDER}")
    parser.add_argument("--only", type=_situations, default=list(SITUATIONS), help="situations, with commas")
    parser.add_argument("--pictures-in", type=Path, metavar="FOLDER", help="unless they are to be beside the tree")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="play nothing: take the documentation's")
    parser.add_argument("--type", action="store_true", help="play nothing: lines of standard input run in the session")
    options = parser.parse_args()
    if unknown := set(options.desktops) - set(choices):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        parser.error("it needs root, and Debian's package mmdebstrap")
    return options


def _play_guarded(
    tree: Path, name: str, release: str, pictures: Path, only: list[str], say: Callable[[str], None]
) -> Played:
    """What Heliograph complained of in its log is the last row of the table."""

    async def run() -> Played:
        async with open_scene(tree, name, release, pictures) as scene:
            return await play(scene, only, say)

    with watching() as guard:
        played = asyncio.run(run())
    complaints = guard.complaints()
    log = Outcome(Verdict.WRONG, "; ".join(complaints)) if complaints else Outcome(Verdict.GOOD)
    return Played(played.title, {**played.outcomes, "log": log})


async def _type(tree: Path, name: str, release: str, pictures: Path, say: Callable[[str], None]) -> None:
    """Each line runs as the user in the session; a picture is taken after each."""
    with watching():
        async with open_scene(tree, name, release, pictures) as scene:
            say(f"{await scene.desktop.version()} is up; lines are read from standard input")
            number = 0
            while line := await asyncio.to_thread(sys.stdin.readline):
                number += 1
                scene.situation = f"typed-{number}"
                print(await scene.desktop.run(line), end="", flush=True)
                say(str(await scene.picture()))


async def _take(tree: Path, name: str, release: str, pictures: Path, folder: Path) -> None:
    with watching():
        async with open_scene(tree, name, release, pictures) as scene:
            print("\n".join(map(str, await take_pictures(scene, folder))), flush=True)


def _situations(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SITUATIONS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SITUATIONS)}")
    return [name for name in SITUATIONS if name in names]


def _say(what: str) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: print(f"{what:9}{time.monotonic() - began:6.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
