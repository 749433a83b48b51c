"""Asks a question in the terminal which the user may also answer elsewhere meanwhile.

The answer is read without a thread, so that an answer on the notification, or Ctrl-C, ends the waiting.
Test: test_an_answer_elsewhere_ends_the_waiting.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine

import click

from heliograph.system.tasks import start

_LOOK_S = 0.5
_MAX_LINE = 4096
_ANSWERS = {"y": True, "yes": True, "n": False, "no": False, "": False}


async def ask_yes_or_no(question: str, is_answered: Callable[[], Awaitable[bool]]) -> bool | None:
    """Returns True for yes and False for no, which is what Enter means; None: the question was answered elsewhere.

    Raises click.Abort at the end of standard input.
    """
    while True:
        click.echo(f"{question} [y/N]: ", nl=False)
        line = await _first(_read_line(), is_answered)
        if line is None:
            click.echo()
            return None
        if not line:
            raise click.Abort
        answer = _ANSWERS.get(line.strip().lower())
        if answer is not None:
            return answer
        click.echo("Say y or n.")


async def _first(reading: Coroutine[None, None, str], is_answered: Callable[[], Awaitable[bool]]) -> str | None:
    line = start(reading, name="reading a line")
    try:
        while not line.done():
            await asyncio.wait({line}, timeout=_LOOK_S)
            if not line.done() and await is_answered():
                return None
        return line.result()
    finally:
        line.cancel()


async def _read_line() -> str:
    """Reads a line. Not in a thread, which could not be ended when the answer comes from elsewhere, or by Ctrl-C."""
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()
    came = loop.create_future()
    try:
        loop.add_reader(descriptor, came.set_result, None)
    except PermissionError:
        pass  # a regular file, which is always ready
    else:
        try:
            await came
        finally:
            loop.remove_reader(descriptor)
    # Something is there to read by now, so that this thread does not wait.
    return (await asyncio.to_thread(os.read, descriptor, _MAX_LINE)).decode(errors="replace")
