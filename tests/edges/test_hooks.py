"""The user's own programs, run for real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Home
from fakes.notices import FakeNotices
from heliograph.loops import hooks as hooks_module
from heliograph.loops.hooks import MOST_WAITING, Hooks
from heliograph.system import processes as programs
from support.builders import ME, make_content, make_delivery
from support.waiting import has_ended, until

_NOTE = """\
import json, os, sys
told = {name: value for name, value in os.environ.items() if name.startswith("HELIOGRAPH_")}
with open(sys.argv[1], "a") as notes:
    notes.write(json.dumps([sys.argv[2:], told]) + "\\n")
"""
_SYSTEMD_RUN = """\
#!/bin/sh
printf '%s\\n' "$*" >>"$NOTES"
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


class Notes:
    """What a program noted: its arguments and variables, each time that it ran."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notes"
        self.program = folder / "note.py"
        self.program.write_text(_NOTE)

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, str(self.program), str(self.path))

    def __call__(self) -> list[Any]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


@contextlib.asynccontextmanager
async def running(*command: str, timeout_s: float = 20, troubles: FakeNotices | None = None) -> AsyncIterator[Hooks]:
    hooks = Hooks(command, timeout_s, troubles or FakeNotices())
    task = asyncio.create_task(hooks.run())
    try:
        yield hooks
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_program_runs_once_for_each_message_and_in_order(notes: Notes) -> None:
    async with running(*notes.command, "--loud") as hooks:
        hooks.take(ME, [make_delivery(text=f"message {number}") for number in range(3)])
        await until(lambda: len(notes()) == 3)
    assert [told["HELIOGRAPH_TEXT"] for _, told in notes()] == ["message 0", "message 1", "message 2"]
    assert [arguments for arguments, _ in notes()] == [["--loud"]] * 3


async def test_text_from_strangers_reaches_no_shell_and_no_argument(notes: Notes, home: Home) -> None:
    trap = home.path / "trap"
    evil = "$(touch ~/trap) `touch ~/trap`; touch ~/trap & \"quoted\" 'single' ${HOME} %s \\n -rf"
    async with running("sh", "-c", f'exec {" ".join(notes.command)} "$HELIOGRAPH_TEXT"') as hooks:
        hooks.take(ME, [make_delivery(content=make_content(evil, sender_name=evil))])
        await until(notes)
    ((argument,), told) = notes()[0]
    assert argument == told["HELIOGRAPH_TEXT"] == told["HELIOGRAPH_SENDER"] == evil
    assert not trap.exists()


@pytest.mark.expected_log("on_notification was ended")
async def test_a_program_that_runs_for_too_long_is_ended_with_its_children(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pid = tmp_path / "pid"
    async with running("sh", "-c", f"sleep 600 & echo $! >{pid}; wait", timeout_s=0.5) as hooks:
        hooks.take(ME, [make_delivery()])
        await until(lambda: "ran for longer" in caplog.text)
    assert has_ended(int(pid.read_text()))


async def test_a_program_that_runs_when_we_stop_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    async with running("sh", "-c", f"echo $$ >{pid}.new; mv {pid}.new {pid}; sleep 600") as hooks:
        hooks.take(ME, [make_delivery()])
        await until(pid.exists)
    assert has_ended(int(pid.read_text()))


@pytest.mark.expected_log("is no program")
@pytest.mark.parametrize("program", ["/nowhere/program", "/", "program\0", "~/nothing", "no such program"])
async def test_a_program_that_does_not_exist_is_told_before_the_first_message(
    program: str, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = FakeNotices()
    async with running(program, troubles=troubles) as hooks:
        await until(lambda: troubles.standing)
        hooks.take(ME, [make_delivery(), make_delivery()])
        await asyncio.sleep(0.1)
    assert len(troubles.told) == 1
    assert "[hooks] on_notification" in troubles.told[0][1]
    assert caplog.text.count("is no program") == 1


@pytest.mark.expected_log("is no program")
async def test_a_program_that_comes_later_is_run_and_its_notice_goes(notes: Notes, tmp_path: Path) -> None:
    troubles, program = FakeNotices(), tmp_path / "later"
    async with running(str(program), *notes.command, troubles=troubles) as hooks:
        await until(lambda: troubles.standing)
        await asyncio.to_thread(program.write_text, '#!/bin/sh\nexec "$@"\n')
        await asyncio.to_thread(program.chmod, 0o755)
        hooks.take(ME, [make_delivery(text="hello")])
        await until(notes)
    assert troubles.standing == {}


@pytest.mark.expected_log("on_notification could not be run", times=(0, 2))
@pytest.mark.expected_log("on_notification failed with status 3", times=(0, 2))
@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["sh", "-c", "exit 3"], "failed with status 3"),
        (["sh", "-c", "nul\0"], "could not be run"),
    ],
)
async def test_a_program_that_fails_is_told_and_the_next_message_has_its_turn(
    command: list[str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(*command) as hooks:
        hooks.take(ME, [make_delivery(), make_delivery()])
        await until(lambda: caplog.text.count(told) == 2)


async def test_a_program_that_was_ended_with_the_service_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running("sh", "-c", "kill -TERM $$") as hooks:
        hooks.take(ME, [make_delivery()])
        await until(lambda: "on_notification was asked to end" in caplog.text)


@pytest.mark.expected_log("on_notification is too slow: it was not run for 7 messages$")
async def test_of_too_many_the_oldest_are_left_out_and_counted(notes: Notes, caplog: pytest.LogCaptureFixture) -> None:
    async with running(*notes.command) as hooks:
        hooks.take(ME, [make_delivery(text=str(number)) for number in range(MOST_WAITING + 7)])
        await until(notes)
    assert notes()[0][1]["HELIOGRAPH_TEXT"] == "7"
    assert "was not run for 7 messages" in caplog.text


async def test_what_was_taken_back_meanwhile_runs_nothing(notes: Notes) -> None:
    async with running(*notes.command) as hooks:
        hooks.take(ME, [make_delivery(content=None), make_delivery(text="still there")])
        await until(notes)
    assert [told["HELIOGRAPH_TEXT"] for _, told in notes()] == ["still there"]


async def test_a_tilde_is_the_home_folder(notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "hook").write_text(f"#!/bin/sh\nexec {' '.join(notes.command)}\n")
    (tmp_path / "hook").chmod(0o700)
    async with running("~/hook") as hooks:
        hooks.take(ME, [make_delivery()])
        await until(notes)


class Service:
    """What systemd sets for the process of a service, and a systemd-run that only notes its arguments."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        programs = folder / "programs"
        programs.mkdir()
        self.calls = folder / "calls"
        self.program = programs / "systemd-run"
        self.program.write_text(_SYSTEMD_RUN)
        self.program.chmod(0o700)
        monkeypatch.setenv("NOTES", str(self.calls))
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(tmp_path, monkeypatch)


async def test_under_systemd_it_runs_as_a_unit_and_its_command_line_holds_no_message(
    service: Service, notes: Notes
) -> None:
    async with running(*notes.command, "$HOME", "${HELIOGRAPH_TEXT}") as hooks:
        hooks.take(ME, [make_delivery(text="between us"), make_delivery(text="and again")])
        await until(lambda: len(notes()) == 2)
    assert [told["HELIOGRAPH_TEXT"] for _, told in notes()] == ["between us", "and again"]
    trial, call, _ = service.calls.read_text().splitlines()
    assert trial.endswith("-- true")
    assert call.startswith("--user --collect --quiet --wait --property=Type=exec --property=RuntimeMaxSec=20 ")
    assert "--setenv=HELIOGRAPH_TEXT " in call
    assert "between us" not in call
    # systemd makes one of two, and no variable of it.
    assert notes()[0][0] == ["$$HOME", "$${HELIOGRAPH_TEXT}"]


@pytest.mark.parametrize("is_there", [True, False])
async def test_where_systemd_run_does_not_work_we_run_it(
    service: Service, notes: Notes, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_there:
        service.program.write_text("#!/bin/sh\nexit 1\n")
    else:
        monkeypatch.setenv("PATH", str(notes.path.parent))
    async with running(*notes.command) as hooks:
        hooks.take(ME, [make_delivery()])
        await until(notes)


@pytest.mark.expected_log("hooks crashed")
async def test_a_message_that_finds_a_fault_of_our_own_holds_up_no_other(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = programs.run_program
    faults = [RuntimeError("a fault")]

    async def run_or_fail(*arguments: Any, **options: Any) -> Any:
        if faults:
            raise faults.pop()
        return await run(*arguments, **options)

    monkeypatch.setattr(hooks_module, "run_program", run_or_fail)
    async with running(*notes.command) as hooks:
        hooks.take(ME, [make_delivery(text=f"message {number}") for number in range(3)])
        await until(lambda: len(notes()) == 2)
    assert [told["HELIOGRAPH_TEXT"] for _, told in notes()] == ["message 1", "message 2"]
