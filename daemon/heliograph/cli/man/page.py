"""Writes the manual page from the texts of `--help`, in those macros of man(7) that groff and mandoc both know."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator

import click

from heliograph import __version__
from heliograph.cli.completion.scripts import PROGRAM

_VERBATIM = "\b"
"""click's mark for a paragraph that keeps its line breaks."""
_WIDTH = 72
_FILES = (
    ("~/.config/heliograph/config.toml", "The configuration, which is optional. See: heliograph config"),
    ("~/.local/state/heliograph/", "What it remembers of each account."),
    ("~/.config/systemd/user/heliograph.service", "The service, as heliograph service install writes it."),
    ("~/.config/systemd/user/heliograph-leave.service", "Has other devices ring again where the service fails."),
)


def render_manual(program: click.Command) -> str:
    """The page heliograph(1) for this program."""
    return "\n".join(_manual(program)) + "\n"


def _manual(program: click.Command) -> Iterator[str]:
    yield f'.TH HELIOGRAPH 1 "" "Heliograph {__version__}" "User Commands"'
    yield ".SH NAME"
    yield f"{PROGRAM} \\- Matrix notifications straight from the homeserver to the desktop"
    yield ".SH SYNOPSIS"
    yield f".B {PROGRAM}"
    yield ".I COMMAND"
    yield "[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(program.help)
    yield ".SH COMMANDS"
    yield from _commands(program, click.Context(program, info_name=PROGRAM))
    yield from _ending(program.epilog or "")
    yield ".SH FILES"
    for path, what in _FILES:
        yield ".TP"
        yield f".I {_escape(path)}"
        yield from _text(what)


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    if context.parent is not None:
        yield from _one(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands(found, click.Context(found, info_name=name, parent=context))


def _one(command: click.Command, context: click.Context) -> Iterator[str]:
    arguments = [
        piece
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Argument)
        for piece in parameter.get_usage_pieces(context)
    ]
    if isinstance(command, click.Group):
        arguments.append("[COMMAND]" if command.invoke_without_command else "COMMAND")
    yield f'.SS "{_escape(" ".join([context.command_path, *arguments]))}"'
    yield from _paragraphs(command.help)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is None or "--help" in parameter.opts:
            continue
        yield ".TP"
        yield f".B {_escape(record[0])}"
        yield from _text(record[1])


def _paragraphs(help_text: str | None) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(help_text or ""))):
        lines = paragraph.splitlines()
        if number:
            yield ".PP"
        if lines and lines[0].strip() == _VERBATIM:
            yield ".nf"
            yield from map(_line, lines[1:])
            yield ".fi"
        else:
            yield from _text(" ".join(line.strip() for line in lines))


def _ending(epilog: str) -> Iterator[str]:
    """The section on exit codes, from the list in the help."""
    title, _, codes = epilog.replace(_VERBATIM, "").strip().partition("\n")
    yield f".SH {_escape(title.rstrip(':').upper())}"
    for line in codes.splitlines():
        code, _, what = line.strip().partition("  ")
        yield ".TP"
        yield f".B {_escape(code)}"
        yield from _text(what)


def _text(text: str) -> Iterator[str]:
    """A paragraph, which is filled: line breaks of the source do not matter."""
    # Never broken at hyphens: half an option or a URL cannot be copied.
    return map(_line, textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False))


def _line(text: str) -> str:
    """A line of text, escaped so that a dot or quote at its beginning makes no request of it."""
    escaped = _escape(text.rstrip())
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _escape(text: str) -> str:
    # groff prints these as typographic signs, which no shell understands when they are copied. The backslash comes
    # first, since the others are replaced by something that has one.
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("`", "\\(ga")
    return text.replace("^", "\\(ha").replace("~", "\\(ti").replace("'", "\\(aq").replace("…", "\\[u2026]")
