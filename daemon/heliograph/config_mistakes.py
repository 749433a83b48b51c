"""Explains a mistake in one of our TOML files: turns msgspec's refusal into what is wrong and what to write instead.

A mistake reads like `[privacy] show: 'sendr' is none of full, sender, hidden`, and its hint like
`Did you mean 'sender'?`
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from heliograph.core.text.clean import clean_line

# msgspec tells the place of a mistake in the text of its error only, and the value not at all: the place is read from
# that text, and the value looked up in the tree.
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*?)`(?: - at `\$(?P<path>[^`]*)`)?\Z", re.DOTALL)
_WRONG = re.compile(r".* - at `\$(?P<path>[^`]*)`\Z", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<place>[^\]]*)\]")
_SHOWN = 60
_LIKE = 0.6

Mistake: TypeAlias = tuple[str, str]
"""What is wrong, as a phrase without a full stop, and a hint what to do, as whole sentences."""


def explain_mistake(error: msgspec.ValidationError, tree: Mapping[str, Any], root: type[Struct]) -> Mistake:
    """Explains why msgspec refused to read `tree` as a `root`, the fields of which are values, or tables of values."""
    text = str(error)
    if match := _UNKNOWN.match(text):
        return _explain_unknown(match["name"], tree, _steps(match["path"] or ""), root)
    if match := _WRONG.match(text):
        steps = _steps(match["path"])
        names = [name for name in steps if isinstance(name, str)]
        return _explain_wrong(names, _value_at(tree, steps), _type_at(root, names), is_inside=len(names) < len(steps))
    return clean_line(text, 200), f"It takes: {', '.join(_names(root))}."


def describe_values(annotation: Any) -> str:
    """The values that a field takes, as the comment above that field tells them: `true | false`."""
    kind, meta = _kind(annotation), _meta(annotation)
    if get_origin(kind) is Literal:
        return " | ".join(f'"{choice}"' for choice in get_args(kind))
    if kind is bool:
        return "true | false"
    if get_origin(kind) is tuple:
        return f"a list of at most {meta.max_length} texts"
    if kind is str:
        return f"a text of at most {meta.max_length} characters"
    return f"a whole number, {meta.ge} to {meta.le}"


def _explain_unknown(name: str, tree: Mapping[str, Any], steps: Sequence[str | int], root: type[Struct]) -> Mistake:
    section = str(steps[0]) if steps else ""
    kind = _type_at(root, [section]) if section else root
    known = _names(kind)
    like = difflib.get_close_matches(name, known, n=1, cutoff=_LIKE)
    tables = {each: _names(table) for each in _names(root) if (table := _table_at(root, each)) is not None}
    # A key may be right and only stand below the wrong heading: TOML puts it into the last section that was opened.
    homes = [each for each, names in tables.items() if name in names and each != section]
    is_section = not section and isinstance(tree.get(name), dict)
    what = f"[{_plain(name)}]" if is_section else _label([section, name] if section else [name])
    guess = ""
    if like:
        guess = f"Did you mean {f'[{like[0]}]' if is_section else like[0]}? "
    elif homes:
        guess = f"{_plain(name)} belongs below [{homes[0]}]. "
    return f"{what}: there is no such {'section' if is_section else 'key'}", f"{guess}It takes: {', '.join(known)}."


def _explain_wrong(names: list[str], value: Any, annotation: Any, *, is_inside: bool) -> Mistake:
    label = _label(names)
    kind = _kind(annotation)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return f"[{names[-1]}]: {_shown(value)} is no table", f"Write [{names[-1]}] on a line, and its keys below it."
    problem, hint = _say_what_is_right(names[-1], value, kind, _meta(annotation), is_inside=is_inside)
    return f"{label}: {problem}", hint


def _say_what_is_right(name: str, value: Any, kind: Any, meta: Meta, *, is_inside: bool) -> Mistake:
    if get_origin(kind) is Literal:
        return _explain_choice(value, [str(choice) for choice in get_args(kind)])
    if kind is bool:
        return f"{_shown(value)} is neither true nor false", f"Write {name} = true, or {name} = false."
    if kind is int:
        right = f"{meta.ge} to {meta.le}"
        # In Python true and false are integers, too.
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{value} is not within {right}", f"Write a whole number, {right}."
        number = value if isinstance(value, str) and value.isascii() and value.isdecimal() else str(meta.ge)
        return f"{_shown(value)} is no whole number", f"Write it without quotes, {right}: {name} = {number[:4]}"
    if kind is str and isinstance(value, str):
        return f"it has more than {meta.max_length} characters", "Shorten it."
    if get_origin(kind) is tuple and isinstance(value, list):
        return f"it has more than {meta.max_length} entries", "Remove some."
    if kind is str:
        return f"{_shown(value)} is no text", f"Write it in quotes: {name} = {_quoted(value)}"
    if is_inside and get_origin(kind) is tuple:
        return f"{_shown(value)} in it is no text", f"Write each in quotes: {name} = [{_quoted(value)}]"
    if is_inside:
        return f"{_shown(value)} in it is no text", f"Write each in quotes: ... = {_quoted(value)}"
    if get_origin(kind) is tuple:
        return f"{_shown(value)} is no list", f"Write {name} = [{_quoted(value)}]"
    return f"{_shown(value)} is no table", f"Write [{name}] on a line, and its keys below it."


def _explain_choice(value: Any, choices: list[str]) -> Mistake:
    problem = f"{_shown(value)} is none of {', '.join(choices)}"
    like = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=_LIKE)
    return problem, f"Did you mean '{like[0]}'?" if like else f'Write one of these, in quotes: "{choices[0]}"'


def _steps(path: str) -> list[str | int]:
    return [match["name"] if match["name"] is not None else _place(match["place"]) for match in _STEP.finditer(path)]


def _place(text: str) -> int:
    """The index of a list's entry. Of a table's entry msgspec tells no name (`[...]`), for which -1 stands."""
    return int(text) if text.isdecimal() else -1


def _value_at(tree: Any, steps: Sequence[str | int]) -> Any:
    value = tree
    for step in steps:
        if isinstance(step, str):
            value = value[step]
        elif isinstance(value, Mapping):
            value = next((each for each in value.values() if not isinstance(each, str)), None)
        else:
            value = value[step]
    return value


def _type_at(root: type[Struct], names: Sequence[str]) -> Any:
    kind: Any = root
    for name in names:
        kind = next(field.type for field in msgspec.structs.fields(kind) if field.name == name)
    return kind


def _table_at(root: type[Struct], name: str) -> type[Struct] | None:
    kind = _kind(_type_at(root, [name]))
    return kind if isinstance(kind, type) and issubclass(kind, Struct) else None


def _names(kind: type[Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


def _kind(annotation: Any) -> Any:
    """The type of a field, without the bounds that are annotated to it."""
    return annotation if _is_bare(annotation) else get_args(annotation)[0]


def _meta(annotation: Any) -> Meta:
    return Meta() if _is_bare(annotation) else next(each for each in get_args(annotation) if isinstance(each, Meta))


def _is_bare(annotation: Any) -> bool:
    return not any(isinstance(each, Meta) for each in get_args(annotation))


def _label(names: Sequence[str]) -> str:
    *sections, last = names
    return " ".join([*(f"[{_plain(section)}]" for section in sections), _plain(last)])


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{_plain(value)}'"
        case list():
            return "a list"
        case dict():
            return "a table"
    return _plain(str(value))


def _quoted(value: Any) -> str:
    text = _plain("..." if isinstance(value, list | dict) else _shown(value).strip("'"))
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(text: str) -> str:
    return clean_line(text, _SHOWN)
