"""Runs the user's own program for each message that is shown, one after the other.

The service's sandbox would hold for what it starts, too: a program that writes into the home folder fails there. So
under systemd the user's service manager starts it as a unit of its own, and otherwise we do. Argument lists are public,
so what a message says is in the environment only, which systemd-run takes over by `--setenv=NAME` without a value.
Tests: test_under_systemd_it_runs_as_a_unit_and_its_command_line_holds_no_message,
test_text_from_strangers_reaches_no_shell_and_no_argument.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections import deque
from collections.abc import Sequence
from typing import NoReturn

from heliograph.core.hook import hook_environment
from heliograph.core.record import Delivery
from heliograph.core.text.clean import count_things
from heliograph.ports.notices import Troubles
from heliograph.system.processes import run_program
from heliograph.system.tasks import keep_running

log = logging.getLogger(__name__)

ABOUT_HOOK = "hook"
MOST_WAITING = 500
"""Messages. Of more the oldest are left out."""
_GRACE_S = 5.0
_PROBE_S = 5.0
_STARTER = ("systemd-run", "--user", "--collect", "--quiet", "--wait", "--property=Type=exec")


def missing_program(command: Sequence[str]) -> str | None:
    """The program of this command, if there is none of that name that we may run."""
    program = os.path.expanduser(command[0])
    return program if shutil.which(program) is None else None


class Hooks:
    """Runs the user's `command`, a program and its arguments. Nothing from the network is ever part of these."""

    def __init__(self, command: Sequence[str], timeout_s: float, troubles: Troubles) -> None:
        program, *arguments = command
        self._command = [os.path.expanduser(program), *arguments]
        self._timeout_s = timeout_s
        self._troubles = troubles
        self._is_missing = False
        self._waiting: deque[dict[str, str]] = deque()
        self._left_out = 0
        self._woken = asyncio.Event()
        self._has_starter: bool | None = None
        """Whether hooks can be started apart from the daemon; None: not tried yet."""

    def take(self, account: str, deliveries: Sequence[Delivery]) -> None:
        """Takes deliveries that were shown just now."""
        for delivery in deliveries:
            variables = hook_environment(account, delivery)
            if variables is None:
                continue
            # The oldest go: a program that lags should at least be told of what is new.
            if len(self._waiting) == MOST_WAITING:
                self._waiting.popleft()
                self._left_out += 1
            self._waiting.append(variables)
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled, which also ends the program that runs."""
        await keep_running("hooks", self._run)

    async def _run(self) -> NoReturn:
        await self._has_program()
        while True:
            while self._waiting:
                if self._left_out:
                    left_out = count_things(self._left_out, "message")
                    log.warning("on_notification is too slow: it was not run for %s", left_out)
                    self._left_out = 0
                await self._run_one(self._waiting.popleft())
            self._woken.clear()
            await self._woken.wait()

    async def _run_one(self, variables: dict[str, str]) -> None:
        if not await self._has_program():
            return
        command, timeout_s = self._command, self._timeout_s
        if await self._is_sandboxed():
            # Values stay out of the command line, which every user of the machine can read.
            settings = [f"--property=RuntimeMaxSec={timeout_s:g}", *(f"--setenv={name}" for name in variables)]
            # systemd puts variables where it finds $NAME or ${NAME} in a command: text from strangers, in a shell's.
            command = [*_STARTER, *settings, "--", *(word.replace("$", "$$") for word in command)]
            # systemd ends the program by RuntimeMaxSec; we only end a systemd-run that does not come back.
            timeout_s += _GRACE_S
        try:
            status, _ = await run_program(command, timeout_s, variables, errors=None)
        except (OSError, ValueError) as error:
            log.warning("on_notification could not be run: %s", error)
            return
        if status is None:
            log.warning("on_notification was ended: it ran for longer than %g s", self._timeout_s)
        elif status == -signal.SIGTERM:
            # So systemd ends all of a service, maybe a moment before it is the daemon's turn.
            log.info("on_notification was asked to end")
        elif status:
            log.warning("on_notification failed with status %d", status)

    async def _has_program(self) -> bool:
        """Looked for at the start, too: else the first message would tell."""
        program = await asyncio.to_thread(missing_program, self._command)
        was_missing, self._is_missing = self._is_missing, program is not None
        if program is None:
            self._troubles.withdraw(ABOUT_HOOK)
            return True
        if not was_missing:
            log.warning("on_notification cannot be run: %s is no program", program)
        self._troubles.tell(
            "Your program for each message cannot be run",
            f"{program} is no program. Make it executable, or mend [hooks] on_notification.",
            about=ABOUT_HOOK,
        )
        return False

    async def _is_sandboxed(self) -> bool:
        if self._has_starter is None:
            # Set for the process that systemd itself started
            # (systemd.exec(5)), and inherited by all below it: hence the id.
            self._has_starter = os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()) and await self._try_starter()
        return self._has_starter

    async def _try_starter(self) -> bool:
        command = [*_STARTER, "--setenv=HELIOGRAPH_TRIAL", "--", "true"]
        try:
            status, _ = await run_program(command, _PROBE_S, {"HELIOGRAPH_TRIAL": "1"})
        except OSError:
            return False
        if status != 0:
            log.info("on_notification runs inside the service's sandbox, since systemd-run does not work here")
        return status == 0
