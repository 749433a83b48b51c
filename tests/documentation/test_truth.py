"""What the documentation says of commands, settings and tests is so."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import click
import msgspec
import pytest

from documentation.pages import ROOT, documentation, read_page
from heliograph.cli import commands
from heliograph.config.printing import render_config
from heliograph.config.reading import parse_config
from heliograph.config.settings import Config
from heliograph.relay.config import RelayConfig

_COMMAND = re.compile(r"^(?:\$ |.*\| )?(?:/opt/heliograph/bin/)?heliograph (.*)$")
_TEST = re.compile(r"\btest_\w+")
_TEST_PATH = re.compile(r"\btests/[\w/.*-]*\w")
_ENDS = {"|", "#", ">", ";", "&&", "&"}


def typed(name: str) -> Iterator[list[str]]:
    """The words behind `heliograph` of each command that a page names."""
    for line in read_page(name).code:
        if found := _COMMAND.match(line):
            words = shlex.split(found[1].replace("\\|", "/").replace("[", "").replace("]", ""), comments=True)
            yield next((words[:place] for place, word in enumerate(words) if word in _ENDS), words)


def fault_of(words: list[str]) -> str | None:
    """The word that the program would not take as a command or option."""
    command: click.Command = commands
    context = click.Context(commands)
    for word in words:
        if word.startswith("--"):
            options = {option for parameter in command.get_params(context) for option in parameter.opts}
            if word.partition("=")[0] not in options:
                return word
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return word
            command = found
            context = click.Context(found, parent=context)
    return None


@pytest.mark.parametrize("name", documentation())
def test_every_command_of_the_documentation_exists_with_its_options(name: str) -> None:
    assert [" ".join(words) for words in typed(name) if fault_of(words) is not None] == []


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert fault_of(["inbox", "open", "2"]) is None
    assert fault_of(["inbox", "opne", "2"]) == "opne"
    assert fault_of(["status", "--folow"]) == "--folow"


def test_every_command_is_in_the_table_of_commands() -> None:
    table = " ".join(row[0] for row in read_page("docs/commands.md").rows("Which commands are there?"))
    context = click.Context(commands)
    assert [name for name in commands.list_commands(context) if not re.search(rf"\b{name}\b", table)] == []


def test_the_page_on_the_configuration_has_every_setting_as_the_command_prints_it() -> None:
    """If it does not: indent what `heliograph config` prints by four spaces."""
    (block,) = read_page("docs/configuration.md").blocks("Every setting")
    assert "\n".join(block) == render_config(Config()).rstrip("\n")


def test_every_example_of_a_configuration_is_taken() -> None:
    sections = {f"[{field.name}]" for field in msgspec.structs.fields(Config)}
    blocks = [block for name in documentation() for block in read_page(name).blocks() if block[0] in sections]
    assert len(blocks) >= 5
    for block in blocks:
        parse_config("\n".join(block))


def test_the_page_on_the_relay_has_every_setting_with_its_default() -> None:
    rows = read_page("docs/relay.md").rows("Every setting")
    told = {key.strip("`"): json.loads(default.strip("`")) for key, default, _ in rows if "msc3361" not in key}
    assert told == json.loads(msgspec.json.encode(RelayConfig()))


@pytest.mark.parametrize("name", documentation())
def test_every_test_that_is_named_exists(name: str) -> None:
    files = [file for file in (ROOT / "tests").rglob("*.py") if ".venv" not in file.parts]
    known = {file.stem for file in files}
    for file in files:
        known |= set(re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text("utf-8"), re.MULTILINE))
    code = read_page(name).code
    absent = [path for line in code for path in _TEST_PATH.findall(line) if not list(ROOT.glob(path))]
    absent += [test for line in code for test in _TEST.findall(line) if test not in known]
    assert absent == []
