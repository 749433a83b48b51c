"""How rules are named and written that the user wants."""

from __future__ import annotations

import pytest

from heliograph.core.push.desired_rule import Refusal, actions_of, split_name


def test_rules_are_named_by_kind_and_id() -> None:
    assert split_name("override/.m.rule.master") == ("override", ".m.rule.master")
    assert split_name("override/a/b") == ("override", "a/b")
    for name in ("", "override", "override/", "device/x", "/x", "Override/x"):
        with pytest.raises(Refusal, match="does not name a rule"):
            split_name(name)


def test_actions_are_as_loud_as_wished() -> None:
    sound, highlight = {"set_tweak": "sound", "value": "bell"}, {"set_tweak": "highlight"}
    assert actions_of() == ("notify",)
    assert actions_of(sound="bell") == ("notify", sound)
    assert actions_of(sound="bell", highlight=True) == ("notify", sound, highlight)
