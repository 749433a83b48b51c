"""A Debian with all the desktops, made once and kept: what is played sees it through a copy (system.systemd_box)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from desktops.packages import packages
from fresh.tree import Tree, make_archive
from system.systemd_box import REPOSITORY

PROGRAMS = Path("/opt/heliograph/bin")
"""Inside, where Heliograph goes; what it and its tests need is there."""
_BUILD = "hatchling"
"""With which Heliograph is built where no registry is reached."""
_NOTE = PROGRAMS.parent / "installed.toml"
"""Inside, the pyproject.toml by which Python packages were installed."""
_PYTHON_PACKAGES = (
    f"{PROGRAMS}/pip install -q '.[test]' {_BUILD} && {PROGRAMS}/pip uninstall -q -y heliograph",
    f"cp pyproject.toml {_NOTE} && rm -rf /root/.cache",
)
_LINE_S = 3600
_TRIES = 3

Say = Callable[[str], None]


def keep_tree(folder: Path, release: str, say: Say) -> Path:
    """The release's tree in that folder; made unless it is there. One that was not finished is made anew, and one that
    lacks packages gets them.

    Raises RuntimeError with a line that failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / release
    if not place.exists():
        began = time.monotonic()
        unfinished = folder / f"{release}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        _make(unfinished, release, say)
        unfinished.rename(place)
        say(f"{place} was made in {time.monotonic() - began:.0f} s")
    else:
        _complete(place, release, say)
    return place


def _complete(place: Path, release: str, say: Say) -> None:
    """What was not wanted yet when it was made."""
    lines = []
    if missing := sorted(set(packages(release)) - _installed(place)):
        say(f"packages that are new: {' '.join(missing)}")
        lines += ["apt-get update -q", _install(missing)]
    noted = place / _NOTE.relative_to("/")
    if not noted.exists() or noted.read_text("utf-8") != _wanted():
        say("what Heliograph and its tests need has changed")
        lines += _PYTHON_PACKAGES
    if lines:
        with Tree(place.with_name(f"{release}.tar"), place, "root") as tree:
            _type(tree, place.with_name(f"{release}.log"), *lines)


def _installed(place: Path) -> set[str]:
    status = (place / "var/lib/dpkg/status").read_text("utf-8", errors="replace")
    return {line.removeprefix("Package: ") for line in status.splitlines() if line.startswith("Package: ")}


def _make(place: Path, release: str, say: Say) -> None:
    """All but Heliograph itself."""
    archive, log = place.with_name(f"{release}.tar"), place.with_name(f"{release}.log")
    if not archive.exists():
        say(f"a bare {release}, by mmdebstrap")
        make_archive(release, archive)
    names = packages(release)
    with Tree(archive, place, "root") as tree:
        say(f"{len(names)} packages and what they need, then what Heliograph and its tests need")
        _type(
            tree,
            log,
            _install(names),
            f"python3 -m venv {PROGRAMS.parent}",
            *_PYTHON_PACKAGES,
        )


def _wanted() -> str:
    return (REPOSITORY / "pyproject.toml").read_text("utf-8")


def _install(names: Sequence[str]) -> str:
    # Again, since a mirror may be busy for a moment: apt goes on where it was.
    install = " || ".join([f"apt-get install -y -q --no-install-recommends {' '.join(names)}"] * _TRIES)
    return f"export DEBIAN_FRONTEND=noninteractive; {{ {install}; }} && apt-get clean"


def _type(tree: Tree, log: Path, *lines: str) -> None:
    for line in lines:
        code = tree.type(line, log=log, seconds=_LINE_S, answers={})
        if code:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise RuntimeError(f"{line} ended with {code}:\n{last}")
