"""The documentation's lines as they are typed on a fresh machine, each in the order in which it stands there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fresh.readme import CHANGE, RELAY, RELAY_RELOAD, RELAY_UPDATE, SEE, USE, Chapter
from fresh.tree import Tree

_PASSWORD = "a long walk on the pier"
_ANSWERS = {r"\[Y/n\] $": "y", r"Password[^\n]*: $": _PASSWORD}
_SYSTEMD = "systemd-sysv libpam-systemd dbus-user-session login"
_HOMESERVER_LOG = "/tmp/homeserver.log"
_EDITOR = "/usr/local/bin/editor-of-the-test"
_LAST_LINES = 30
_SECONDS = 900
TESTS_SECONDS = 14_400
"""For a whole tests/run, which ends by itself what hangs in it."""
_NAMED = re.compile(r"sudo apt-get install [^\r\n]+")


class Typist:
    """Types lines into a tree, and tells how each ended."""

    def __init__(self, tree: Tree, log: Path, say: Callable[[str], None]) -> None:
        self.tree = tree
        self._log = log
        self._say = say

    def type(self, line: str, *, seconds: float = _SECONDS, words: Mapping[str, str] | None = None) -> bool:
        """Whether it ended with 0. `words` stand for others of the line."""
        return self._type(line, seconds, words or {})[0] == 0

    def type_all(self, lines: Sequence[str], words: Mapping[str, str] | None = None) -> bool:
        """Whether all ended with 0; none is typed after one that did not."""
        return all(self.type(line, words=words) for line in lines)

    def ask(self, line: str, *, seconds: float = _SECONDS) -> tuple[bool, str]:
        """Whether it ended with 0, and what it said."""
        code, told = self._type(line, seconds, {})
        return code == 0, told

    def install(self, chapter: Chapter) -> bool:
        """The packages that the chapter wants."""
        return self.type(f"sudo apt install {' '.join(chapter.packages())}")

    def _type(self, line: str, seconds: float, words: Mapping[str, str]) -> tuple[int, str]:
        for word, other in words.items():
            line = line.replace(word, other)
        with self._log.open("ab") as log:
            log.write(f"\n$ {line}\n".encode())
        start = self._log.stat().st_size
        code = self.tree.type(line, log=self._log, seconds=seconds, answers=_ANSWERS)
        with self._log.open("rb") as log:
            log.seek(start)
            told = log.read().decode(errors="replace").replace("\r\n", "\n")
        self._say(f"{'ok    ' if code == 0 else f'ended with {code}:'} {line}")
        if code:
            self._say("\n".join(["", *told.splitlines()[-_LAST_LINES:]]))
        return code, told


def see(typist: Typist) -> bool:
    """The demonstration."""
    return typist.install(SEE) and typist.type_all(SEE.commands(0))


def test(typist: Typist) -> bool:
    """The tests. Who is not root is told which packages are missing, installs them, and runs it again."""
    (line,) = CHANGE.commands(0)
    if not typist.install(SEE):
        return False
    is_good, told = typist.ask(line, seconds=TESTS_SECONDS)
    if not is_good and (named := _NAMED.search(told)):
        return typist.type(named[0]) and typist.type(line, seconds=TESTS_SECONDS)
    return is_good


def use(typist: Typist) -> bool:
    """The installation for one user, the login and the service, under a booted systemd."""
    install, path, *others = USE.commands(0)
    words = {"@you:example.org": "@you:localhost"}
    # The server's name leads to it over https only, for which it would need a certificate; and no keyring runs here.
    login = {**words, "heliograph login": "heliograph login --homeserver http://127.0.0.1:8008 --secrets file"}
    return (
        typist.install(USE)
        and typist.type_all([install, path, "heliograph --version"])
        and _boot(typist)
        and typist.type_all(others, login)
        and typist.type("heliograph status --json | grep -q connected", words=words)
    )


def relay(typist: Typist) -> bool:
    """The relay for the whole machine, under a booted systemd."""
    install, link, *others = RELAY.commands(0)
    configuration = "\n".join(RELAY.block(1))
    typist.tree.write(_EDITOR, f"#!/bin/sh\ncat >\"$1\" <<'END'\n{configuration}\nEND\n")
    words = {"@you:example.org": "@you:localhost", "sudoedit": f"EDITOR={_EDITOR} sudoedit"}
    # Once booted it has no network, from which an update takes what builds it.
    update = [line for line in RELAY_UPDATE.commands(0) if "/pip " in line]
    restart = [line for line in RELAY_UPDATE.commands(0) if line not in update]
    return (
        typist.install(RELAY)
        and typist.type_all([install, link, *update])
        and _boot(typist)
        and typist.type_all(others, words)
        and typist.type_all([*RELAY_RELOAD.commands(0), *restart])
        and typist.type("systemctl is-active heliograph-relay")
    )


def _boot(typist: Typist) -> bool:
    """A machine with systemd, and a homeserver on it."""
    if not typist.type(f"sudo apt-get install -y -q --no-install-recommends {_SYSTEMD}"):
        return False
    typist.tree.boot()
    serve = shlex.join([f"{typist.tree.checkout}/.venv/bin/python", "tests/fresh/homeserver.py", _PASSWORD])
    unit = f"sudo systemd-run --quiet --unit=homeserver --working-directory={typist.tree.checkout}"
    return typist.type_all(
        [
            f"{unit} sh -c {shlex.quote(f'sleep infinity | {serve} >{_HOMESERVER_LOG} 2>&1')}",
            f"timeout 120 sh -c 'until grep -q ready {_HOMESERVER_LOG}; do sleep 0.2; done'",
        ]
    )


Act = Callable[[Typist], bool]
"""Whether all that it types ended as it should."""

CHAPTERS: dict[str, Act] = {"see": see, "use": use, "relay": relay, "tests": test}
