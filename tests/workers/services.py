"""PostgreSQL and Redis on loopback, in folders of their own, for as long as a block lasts."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

_PATIENCE_S = 60


@contextlib.contextmanager
def a_program(command: Sequence[str], folder: Path, name: str, user: str | None = None) -> Iterator[None]:
    """Runs the program, whose output goes to `folder/name.log`, until the block ends."""
    with (folder / f"{name}.log").open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, user=user
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def a_postgresql(port: int) -> Iterator[None]:
    """A PostgreSQL with a database `synapse`, whose owner `synapse` needs no password."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    # It refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="heliograph-postgresql-"))
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        data = folder / "data"
        _run([programs / "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "synapse", "-D", data], user)
        server = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", folder, "-c", "fsync=off"]
        with a_program([str(word) for word in server], folder, "postgresql", user):
            _wait_for([programs / "pg_isready", "-h", "127.0.0.1", "-p", port])
            _run([programs / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "synapse", "synapse"], user)
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Redis:
    """A Redis that keeps nothing. A context manager."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._folder = folder
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Redis:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def restart(self) -> None:
        """Returns when it answers again."""
        self._running.close()
        self._start()

    def _start(self) -> None:
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._running.enter_context(a_program(["redis-server", *options], self._folder, "redis"))
        _wait_for(["redis-cli", "-p", self._port, "ping"])


def _run(command: Sequence[object], user: str | None) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, check=True, capture_output=True, timeout=_PATIENCE_S, cwd="/", user=user)


def _wait_for(command: Sequence[object]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    words = [str(word) for word in command]
    while subprocess.run(words, check=False, capture_output=True, timeout=_PATIENCE_S).returncode:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{command[0]} did not come up")
        time.sleep(0.1)
