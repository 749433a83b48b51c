"""What `value_type` promises of each class that it makes a value."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict, field, fields, replace

import pytest

from heliograph.core.value_type import value_type


@value_type
class Place:
    """A value with fields of each kind."""

    name: str
    size: int = 1
    parts: tuple[str, ...] = field(default=())
    seen: int = field(default=0, compare=False)
    password: str = field(default="", repr=False)


@value_type
class Town(Place):
    """A value that has more fields than its base."""

    mayor: str = ""


@value_type
class Nothing:
    """A value without fields."""


@value_type
class Folded:
    """A value that says itself what it equals."""

    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folded) and other.text.lower() == self.text.lower()

    def __hash__(self) -> int:
        return hash(self.text.lower())

    def __repr__(self) -> str:
        return "folded"


def test_values_with_equal_fields_are_equal_and_one_key_in_a_dictionary() -> None:
    assert Place("a", 2) == Place("a", size=2)
    assert {Place("a", 2): "found"}[Place("a", 2)] == "found"
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())


@pytest.mark.parametrize("other", [Place("b", 2), Place("a", 3), Place("a", 2, ("x",)), Place("a", 2, password="p")])
def test_values_that_differ_in_a_field_differ(other: Place) -> None:
    assert Place("a", 2) != other


def test_values_of_different_classes_differ() -> None:
    assert Place("a") != Town("a")
    other: object = "a"
    assert Place("a") != other


def test_a_field_that_is_not_compared_makes_no_difference() -> None:
    assert Place("a", seen=1) == Place("a", seen=2)
    assert len({Place("a", seen=1), Place("a", seen=2)}) == 1


def test_a_value_with_something_that_has_no_hash_has_none() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Place("a", parts=["x"]))  # type: ignore[arg-type]


def test_a_value_is_shown_with_its_fields_but_not_those_that_are_kept_out() -> None:
    assert repr(Place("a", 2, password="secret")) == "Place(name='a', size=2, parts=(), seen=0)"
    assert repr(Nothing()) == "Nothing()"


def test_a_class_keeps_the_methods_that_it_defines() -> None:
    assert Folded("A") == Folded("a")
    assert len({Folded("A"), Folded("a")}) == 1
    assert repr(Folded("A")) == "folded"


def test_a_value_has_slots_and_takes_no_other_attribute() -> None:
    with pytest.raises(AttributeError):
        Place("a").colour = "red"  # type: ignore[attr-defined]


def test_a_value_is_replaced_listed_copied_and_stored_like_a_dataclass() -> None:
    town = Town("a", 2, mayor="m")
    assert replace(town, size=3) == Town("a", 3, mayor="m")
    assert asdict(town) == {"name": "a", "size": 2, "parts": (), "seen": 0, "password": "", "mayor": "m"}
    assert [each.name for each in fields(town)][-1] == "mayor"
    assert copy.deepcopy(town) == town == pickle.loads(pickle.dumps(town))
