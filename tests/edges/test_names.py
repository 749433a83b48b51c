"""Names of the package: one name has one meaning, in whichever module a reader meets it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import heliograph

PACKAGE = Path(heliograph.__file__).parent


def test_no_two_modules_define_a_public_class_or_type_of_the_same_name() -> None:
    found = defaultdict(set)
    for file in PACKAGE.rglob("*.py"):
        for name in public_types(ast.parse(file.read_bytes())):
            found[name].add(file.relative_to(PACKAGE).as_posix())
    assert len(found) > 500
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


def public_types(module: ast.Module) -> Iterator[str]:
    """Classes, and aliases of types: those are written like classes, in capitals and small letters."""
    for each in module.body:
        names = [each.name] if isinstance(each, ast.ClassDef) else []
        if isinstance(each, ast.Assign):
            names = [target.id for target in each.targets if isinstance(target, ast.Name)]
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            names = [each.target.id]
        yield from (name for name in names if name[0].isupper() and not name.isupper())
