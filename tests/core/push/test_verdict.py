"""Actions and tweaks: https://spec.matrix.org/v1.17/client-server-api/#actions."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.push.verdict import MAX_ACTIONS, SILENT, Verdict, verdict_of


def _tweak(name: str, *value: Any) -> dict[str, Any]:
    return {"set_tweak": name, **({"value": value[0]} if value else {})}


def test_notify_and_tweaks_are_read() -> None:
    actions: list[Any] = ["notify", _tweak("sound", "ring"), _tweak("highlight"), _tweak("light", {"colour": "red"})]

    assert verdict_of(actions, "override/mine") == Verdict(
        notify=True, rule="override/mine", actions=tuple(actions), highlight=True, sound="ring"
    )


@pytest.mark.parametrize("actions", [[], ["dont_notify"], ["coalesce"], ["coalesce", "dont_notify"]])
def test_historical_actions_are_no_actions(actions: list[Any]) -> None:
    assert verdict_of(actions) == SILENT


@pytest.mark.parametrize("actions", [["notify", "dont_notify"], ["dont_notify", "notify"], ["coalesce", "notify"]])
def test_historical_actions_do_not_take_notify_back(actions: list[Any]) -> None:
    assert verdict_of(actions) == Verdict(notify=True, actions=("notify",))


@pytest.mark.parametrize(
    ("actions", "highlight"),
    [
        ([], False),
        ([_tweak("highlight")], True),
        ([_tweak("highlight", True)], True),
        ([_tweak("highlight", None)], True),
        ([_tweak("highlight", False)], False),
        ([_tweak("highlight", 1)], False),
        ([_tweak("highlight", "yes")], False),
        ([_tweak("highlight"), _tweak("highlight", False)], False),
        ([_tweak("highlight", False), _tweak("highlight")], True),
    ],
)
def test_a_highlight_without_a_value_is_true_and_without_a_tweak_false(actions: list[Any], highlight: bool) -> None:
    assert verdict_of(actions).highlight is highlight


@pytest.mark.parametrize(
    ("actions", "sound"),
    [
        ([], None),
        ([_tweak("sound", "default")], "default"),
        ([_tweak("sound", "a"), _tweak("sound", "b")], "b"),
        ([_tweak("sound")], None),
        ([_tweak("sound", "")], None),
        ([_tweak("sound", True)], None),
        ([_tweak("sound", ["a"])], None),
    ],
)
def test_a_sound_is_a_string_and_the_last_one_set(actions: list[Any], sound: str | None) -> None:
    assert verdict_of(actions).sound == sound


@pytest.mark.parametrize(
    "action", [None, 1, True, [], {}, "Notify", "org.example.notify", {"notify": True}, ["notify"]]
)
def test_what_is_no_action_is_left_out(action: Any) -> None:
    assert verdict_of([action]) == SILENT
    assert verdict_of([{"set_tweak": action}, "notify"]).actions[-1] == "notify"


@pytest.mark.parametrize("actions", [None, "notify", {"notify": True}, 1])
def test_what_is_no_list_of_actions_is_silence(actions: Any) -> None:
    assert verdict_of(actions) == SILENT


def test_of_too_many_actions_the_first_are_read() -> None:
    assert len(verdict_of(["notify"] * (MAX_ACTIONS + 1)).actions) == MAX_ACTIONS
