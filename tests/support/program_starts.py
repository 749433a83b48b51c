"""Watches the programs that tests start: Heliograph's copy their complaints for the log guard
(every_program/sitecustomize.py), whoever started them and wherever their output goes. An audit hook finds those that
are started without that."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FOLDER = "LOG_GUARD"
_EVERY_PROGRAM = str(Path(__file__).parent / "every_program")
_LAUNCHER = "launcher.py"


def reach_every_program(tell_unseen: Callable[[str], None]) -> None:
    """From now on, for the life of this process; again changes nothing.

    `tell_unseen` is called with the command line of each Heliograph whose environment lets it copy nothing.
    """
    if _EVERY_PROGRAM in sys.path:
        return
    # For those that start programs with their own path.
    sys.path.insert(0, _EVERY_PROGRAM)
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([_EVERY_PROGRAM, *([others] if others else [])])

    def note_start(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            _, words, _, environment = arguments
            command = [os.fsdecode(word) for word in (words if isinstance(words, list | tuple) else [words])]
            if _is_ours(command) and not _is_seen(environment):
                tell_unseen(" ".join(command))

    sys.addaudithook(note_start)


def seen_environment() -> dict[str, str]:
    """What of this process's environment a program needs to be seen."""
    return {name: os.environ[name] for name in (_FOLDER, "PYTHONPATH") if name in os.environ}


@contextmanager
def gathering() -> Iterator[Path]:
    """The folder to which programs that are started in this block copy, whoever they run as; gone at its end."""
    outer = os.environ.get(_FOLDER)
    with tempfile.TemporaryDirectory(prefix="log-guard.", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o1733)
        os.environ[_FOLDER] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ[_FOLDER]
            if outer is not None:
                os.environ[_FOLDER] = outer


def _is_ours(command: Sequence[str]) -> bool:
    """Whether that starts Heliograph: its command, its module, Python that imports it, or a test's launcher."""
    names = [os.path.basename(word) for word in command]
    if any(name == "heliograph" or name.endswith(_LAUNCHER) for name in names):
        return True
    options = [place for place, word in enumerate(command[:-1]) if word in ("-m", "-c")]
    return any("heliograph" in command[place + 1] and _runs_python(names[:place]) for place in options)


def _runs_python(names: Sequence[str]) -> bool:
    return any(name.startswith("python") for name in names)


def _is_seen(environment: Mapping[Any, Any] | None) -> bool:
    """Whether a program with this environment (None: this process's own) copies what it writes."""
    own = os.environ if environment is None else {os.fsdecode(k): os.fsdecode(v) for k, v in environment.items()}
    return _FOLDER in own and _EVERY_PROGRAM in own.get("PYTHONPATH", "").split(os.pathsep)
