"""Asks a question in the terminal which the user may also answer elsewhere meanwhile.

An answer on the notification, or Ctrl-C, ends the waiting.
Test: test_an_answer_elsewhere_ends_the_waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import click

from heliograph.cli.input.line import read_line
from heliograph.system.tasks import start

_LOOK_S = 0.5
_ANSWERS = {"y": True, "yes": True, "n": False, "no": False, "": False}


async def ask_yes_or_no(question: str, is_answered: Callable[[], Awaitable[bool]]) -> bool | None:
    """Returns True for yes and False for no, which is what Enter means; None: the question was answered elsewhere.

    Raises click.Abort at the end of standard input.
    """
    while True:
        click.echo(f"{question} [y/N]: ", nl=False)
        line = await _first(read_line(), is_answered)
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
