"""`room_member_count`."""

from __future__ import annotations

from typing import Any

import pytest

from support.rule_builders import holds, with_body


def _count(limit: Any) -> dict[str, Any]:
    return {"kind": "room_member_count", "is": limit}


@pytest.mark.parametrize(
    ("limit", "members"),
    [
        ("2", [2]),
        ("==2", [2]),
        ("<2", [0, 1]),
        (">2", [3]),
        ("<=2", [0, 1, 2]),
        (">=2", [2, 3]),
        ("02", [2]),
        ("0", [0]),
        (">=00000000000000000000000000", [0, 1, 2, 3]),
        ("<18446744073709551615", [0, 1, 2, 3]),
    ],
)
def test_the_number_of_joined_members_is_compared(limit: str, members: list[int]) -> None:
    assert [count for count in range(4) if holds(_count(limit), with_body("x"), member_count=count)] == members


@pytest.mark.parametrize("limit", [2, 2.0, True, None, ["2"], {}, "<" + "9" * 10_000])
def test_a_limit_of_another_type_or_size_never_matches(limit: Any) -> None:
    assert not any(holds(_count(limit), with_body("x"), member_count=count) for count in range(4))


@pytest.mark.parametrize(
    "limit",
    ["", "=2", "=<2", "<>2", "!=2", " 2", "2 ", "2\n", "+2", "-2", "2.0", "٢", "two", "<", "<18446744073709551616"],
)
def test_what_is_not_a_comparison_never_matches(limit: Any) -> None:
    assert not any(holds(_count(limit), with_body("x"), member_count=count) for count in range(4))


def test_without_a_comparison_it_never_matches() -> None:
    assert not holds({"kind": "room_member_count"}, with_body("x"), member_count=2)


def test_an_unknown_number_of_members_never_matches() -> None:
    assert not holds(_count(">=0"), with_body("x"), member_count=None)
