"""Terminals and pipes that are not UTF-8."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from heliograph.cli.output.encoding import take_any_text
from support.buses import PrivateBus


@pytest.mark.parametrize(
    ("encoding", "written"), [("latin-1", b"K\xfcche ?"), ("ascii", b"K?che ?"), ("utf-8", "Küche \U0001f373".encode())]
)
def test_what_an_encoding_lacks_is_replaced(encoding: str, written: bytes) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    take_any_text(stream)
    stream.write("Küche \U0001f373")
    stream.flush()
    assert raw.getvalue() == written


def test_half_a_surrogate_pair_is_replaced_as_well() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    take_any_text(stream)
    stream.write("a\ud800b")
    stream.flush()
    assert raw.getvalue() == b"a?b"


def test_a_stream_of_another_kind_is_left_alone() -> None:
    take_any_text(io.StringIO())


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}])
def test_no_command_ends_in_a_traceback_for_a_letter(private_bus: PrivateBus, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heliograph", "status", "--format", "\U0001f980 {state}"],
        env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": private_bus.address, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b" stopped\n")
