"""Of the source: no task is made but by `heliograph.system.tasks`, and whatever runs until it is cancelled is kept
running."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import heliograph

PACKAGE = Path(heliograph.__file__).parent
MAKERS = frozenset({"create_task", "ensure_future", "TaskGroup", "run_coroutine_threadsafe", "run_in_executor"})
"""Also what hands something to a thread: like a task, it may fail when nobody looks."""
KEEPS = "keep_running"


def sources() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield str(file.relative_to(PACKAGE)), ast.parse(file.read_text())


def makers_in(tree: ast.AST) -> list[int]:
    """The lines where a task is made, or a maker is given another name."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name | ast.alias)]
    return [node.lineno for node in names if _last_name(node) in MAKERS]


def _last_name(node: ast.Attribute | ast.Name | ast.alias) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name):
            return name
    raise AssertionError


def unkept_in(tree: ast.AST) -> list[str]:
    """Functions that run until cancelled, by what they say of themselves, or because they never return otherwise."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
    kept = {name for function in functions for name in _kept_in(function)}
    return [
        function.name
        for function in functions
        if (_says_so(function) and KEEPS not in _names_in(function))
        or (_is_endless(function) and function.name not in kept)
    ]


def _says_so(function: ast.AsyncFunctionDef) -> bool:
    return "runs until cancelled" in " ".join((ast.get_docstring(function) or "").lower().split())


def _is_endless(function: ast.AsyncFunctionDef) -> bool:
    """Whether it has a `while True` that nothing in it leaves."""
    return any(
        isinstance(node, ast.While)
        and isinstance(node.test, ast.Constant)
        and node.test.value is True
        and not any(isinstance(inner, ast.Return | ast.Break) for inner in ast.walk(node))
        for node in ast.walk(function)
    )


def _names_in(node: ast.AST) -> set[str]:
    attributes = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    return attributes | {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _kept_in(function: ast.AsyncFunctionDef) -> set[str]:
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {
        name
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == KEEPS
        for argument in call.args
        for name in _names_in(argument)
    }


def test_no_other_module_makes_a_task() -> None:
    found = {name: lines for name, tree in sources() if name != "system/tasks.py" and (lines := makers_in(tree))}
    assert found == {}


def test_whatever_runs_until_cancelled_is_kept_running() -> None:
    found = {name: unkept for name, tree in sources() if (unkept := unkept_in(tree))}
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "asyncio.create_task(work())",
        "asyncio.get_running_loop().create_task(work())",
        "from asyncio import ensure_future as begin",
        "make = asyncio.ensure_future",
        "TaskGroup()",
    ],
)
def test_every_spelling_of_making_a_task_is_found(text: str) -> None:
    assert makers_in(ast.parse(text)) == [1]


@pytest.mark.parametrize(
    "text",
    [
        'async def run():\n    """Runs until cancelled."""\n    await wait()',
        "async def run():\n    while True:\n        await wait()",
    ],
)
def test_a_loop_that_is_not_kept_is_found(text: str) -> None:
    assert unkept_in(ast.parse(text)) == ["run"]


def test_a_loop_that_is_kept_is_in_order() -> None:
    text = """
async def run():
    '''Runs until cancelled.'''
    await keep_running("a loop", partial(turn, 1))

async def turn(number):
    while True:
        await wait()
"""
    assert unkept_in(ast.parse(text)) == []
