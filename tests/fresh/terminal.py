"""Typing at a terminal: a command that believes to have one, and answers to what it asks."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_TOOK_TOO_LONG = 124
_RECENT = 4096


def type_into(
    command: Sequence[str], environ: Mapping[str, str], *, log: Path, seconds: float, answers: Mapping[str, str]
) -> int:
    """Runs it to its end, and answers the questions, which are regular expressions. What it wrote is added to `log`.

    The exit code; 124 if it took longer than that.
    """
    ours, theirs = pty.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, ours)
        output = stack.enter_context(log.open("ab"))
        try:
            process = subprocess.Popen(command, env=dict(environ), stdin=theirs, stdout=theirs, stderr=theirs)
        finally:
            os.close(theirs)
        stack.callback(process.wait, 30)
        stack.callback(process.kill)
        deadline = time.monotonic() + seconds
        recent = b""
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                told = os.read(ours, 65536)
            except OSError:  # EIO: nobody has the terminal open any more
                break
            output.write(told)
            output.flush()
            recent = (recent + told)[-_RECENT:]
            for question, answer in answers.items():
                if re.search(question.encode(), recent):
                    os.write(ours, answer.encode() + b"\n")
                    recent = b""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(max(0, deadline - time.monotonic()))
    return _TOOK_TOO_LONG
