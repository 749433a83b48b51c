"""`value_type` makes a class into a value: a dataclass with slots that no code changes, equal to others by its fields.

`dataclass(frozen=True, slots=True)` promises the same, but compiles eight methods for each class. For the 160 classes
of an idle daemon these took a third of the time in which our modules are imported, and 1.5 MiB as long as it ran; and
to make a value took four times as long. Here a class has only its `__init__` compiled, and shares the code of all
others. What keeps a value from being changed is mypy, which refuses to set its fields; nothing looks again at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_type(cls: type[T]) -> type[T]:
    """The class as a dataclass with slots; `replace`, `fields` and `asdict` take its values.

    `__eq__`, `__hash__` and `__repr__` that the class defines itself stay. A field with `compare=False` is left out of
    the first two, one with `repr=False` of the third.
    """
    made = dataclass(slots=True, eq=False, repr=False)(cls)
    _share(made, fields(made))  # type: ignore[arg-type]
    return made


def _share(made: type, all_fields: tuple[Any, ...]) -> None:
    compared = _getter([each.name for each in all_fields if each.compare])
    shown = [each.name for each in all_fields if each.repr]

    def equals(self: object, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compared(self) == compared(other)

    def digest(self: object) -> int:
        return hash(compared(self))

    def show(self: object) -> str:
        return f"{made.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    for name, method in (("__eq__", equals), ("__hash__", digest), ("__repr__", show)):
        if name not in vars(made):
            setattr(made, name, method)


def _getter(names: list[str]) -> Callable[[object], object]:
    """Gives a value's fields of these names."""
    return attrgetter(*names) if names else lambda _: ()
