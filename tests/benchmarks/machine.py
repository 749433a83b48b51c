"""On what, and with which versions, figures were measured. Nothing in it tells whose machine it is."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contestants import PEERS

_OURS = ("matrix-nio", "vodozemac", "aiohttp", "aiosqlite", "dbus-fast", "msgspec")
_BESIDE = ("matrix-synapse",)


def describe_machine() -> dict[str, str]:
    """By what is described, in the order in which it is told."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} processors, {_memory_gib():.0f} GiB; {platform.system()}"
        f" {platform.release().partition('-')[0]}",
        "Python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "Heliograph": f"{_version('heliograph')} with " + ", ".join(f"{name} {_version(name)}" for name in _OURS),
        "beside": ", ".join([*(f"{name} {_version(name)}" for name in _BESIDE), _matrix_commander()]),
    }


def load() -> float:
    """Programs that wanted to run in the last minute: above 0 before a run, others take part in the figures."""
    return os.getloadavg()[0]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _matrix_commander() -> str:
    ask = "from importlib.metadata import version; print(version('matrix-commander'))"
    try:
        told = subprocess.run([PEERS / "bin/python", "-c", ask], capture_output=True, check=True, timeout=30, text=True)
    except (OSError, subprocess.SubprocessError):
        return "without matrix-commander"
    return f"matrix-commander {told.stdout.strip()}"
