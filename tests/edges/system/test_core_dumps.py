"""A crash leaves nothing behind that says what was in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CRASH = """
import os, resource
limit = resource.RLIM_INFINITY
try:
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
except ValueError:
    pass
from heliograph.system.core_dumps import forbid_core_dumps
forbid_core_dumps()
{before}
os.abort()
"""
# A program that takes the cores is not held to the limit.
AS_IF_PIPED = "resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)"


@pytest.mark.parametrize("before", ["", AS_IF_PIPED])
def test_a_crash_dumps_no_core(tmp_path: Path, before: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", CRASH.format(before=before)], cwd=tmp_path)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)

    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.glob("*core*")) == []
