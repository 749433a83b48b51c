"""The limit of open files, raised as far as the system lets it."""

from __future__ import annotations

import resource

import pytest

from heliograph.system.descriptors import MOST, raise_limit


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (1_024, 524_288, MOST),
        (1_024, 4_096, 4_096),
        (200_000, 524_288, 200_000),
        (1_024, resource.RLIM_INFINITY, MOST),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, MOST),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_be(
    soft: int, hard: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    assert raise_limit() == wanted
    assert {hard for _, hard in limits} == {limits[0][1]}


def test_where_it_may_not_be_raised_there_are_as_many_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 1_024
