"""Daemons and commands that begin quickly: forked from a process that has imported everything.

Importing takes most of a start. What is forked is a process of its own all the same, with its own environment, and runs
`heliograph` from its beginning.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from system.daemon import Daemon

_SET_PDEATHSIG = 1
_COMMAND_S = 60
_MODULES = (
    "heliograph.app.account",
    "heliograph.app.daemon",
    "heliograph.cli.inbox",
    "heliograph.cli.inbox.rooms",
    "heliograph.cli.run",
    "heliograph.cli.status",
    "heliograph.control.service",
    "heliograph.desktop.freedesktop",
    "heliograph.encryption.olm.machine",
    "heliograph.homeserver.client",
    "heliograph.secrets",
    "heliograph.store.ledger",
    "system.lives.mutants",
)


class Child:
    """A forked process, as `subprocess.Popen` shows one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._over = threading.Event()

    def note_end(self, code: int) -> None:
        self.returncode = code
        self._over.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired("heliograph run", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """A context manager: the process that forks. It and its children end with the block."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._children: dict[int, Child] = {}
        self._born: list[Child] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Nursery:
        path = os.pathsep.join(each for each in sys.path if each)
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        with self._process:
            self._process.kill()
            self._reader.join(5)

    def fork(self, arguments: Sequence[str], log: Path, words: Sequence[str] = ()) -> Child:
        """`heliograph` with these arguments, and this process's environment as it is now, which writes to `log`.

        `words`: in which ways it is broken, see `mutants`.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        order = {"environ": dict(os.environ), "log": str(log), "words": [*words], "arguments": [*arguments]}
        with self._changed:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            assert self._changed.wait_for(lambda: self._born, 60), "no daemon was forked"
            return self._born.pop()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            what, pid, *code = line.split()
            with self._changed:
                if what == "born":
                    child = self._children[int(pid)] = Child(int(pid))
                    self._born.append(child)
                    self._changed.notify_all()
                else:
                    self._children.pop(int(pid)).note_end(int(code[0]))

    def run(self, arguments: Sequence[str], output: Path) -> str:
        """What the command prints. Raises AssertionError if it fails."""
        output.unlink(missing_ok=True)
        code = self.fork(arguments, output).wait(_COMMAND_S)
        printed = output.read_text()
        assert code == 0, f"heliograph {' '.join(arguments)} ended with {code}: {printed}"
        return printed


class ForkedDaemon(Daemon):
    """See `Daemon`."""

    def __init__(self, nursery: Nursery, words: Sequence[str] = ()) -> None:
        super().__init__(*words)
        self._nursery = nursery

    def _spawn(self, words: Sequence[str]) -> None:
        self._log.touch()
        self._log_start = self._log.stat().st_size
        child: Any = self._nursery.fork(["run"], self._log, words)
        self._process = child


def _tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def _bury(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell("ended", ended[0], os.waitstatus_to_exitcode(ended[1]))


def _live(order: dict[str, Any]) -> None:
    """In the child: never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(order["environ"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for number, file in ((0, nothing), (1, log), (2, log)):
        os.dup2(file, number)
    from system.lives.mutants import break_it

    break_it(order["words"])
    from heliograph.cli import main

    sys.argv = ["heliograph", *order["arguments"]]
    main()


def _serve() -> None:
    import importlib

    for name in _MODULES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, _bury)
    for line in sys.stdin:
        # No end is told before the birth, whichever comes first.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid:
            _tell("born", pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        if pid:
            continue
        try:
            _live(json.loads(line))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)


if __name__ == "__main__":
    _serve()
