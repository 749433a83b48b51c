"""The verdict on an event: the actions of the rule that matched, and what they mean.

https://spec.matrix.org/v1.17/client-server-api/#actions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliograph.core.value_type import value_type

MAX_ACTIONS = 100
"""Actions of one rule that are looked at; further ones are passed over."""


@value_type
class Verdict:
    """Whether an event rings, and how."""

    notify: bool
    rule: str | None = None
    """The rule that decided, as kind/rule id; None if no rule matched, or a server decided without saying which."""
    actions: tuple[str | Mapping[str, Any], ...] = ()
    """`notify` and tweaks as the rule gives them; historical and unknown actions are left out."""
    highlight: bool = False
    sound: str | None = None
    """`default`, or a sound's name; None: silent."""


SILENT = Verdict(notify=False)
"""No rule matched."""


def verdict_of(actions: Any, rule: str | None = None) -> Verdict:
    """Reads actions as a rule or a homeserver gives them. Never raises: what is not an action is left out.

    Of a tweak that is set twice the last holds. `highlight` without a value, or with null, is true.
    """
    known: list[str | Mapping[str, Any]] = []
    tweaks: dict[str, Any] = {}
    for action in actions[:MAX_ACTIONS] if isinstance(actions, (list, tuple)) else ():
        if isinstance(action, Mapping) and isinstance(name := action.get("set_tweak"), str):
            tweaks[name] = action.get("value")
            known.append(action)
        # `dont_notify` and `coalesce` of old rules mean nothing any more; a rule without `notify` is silent.
        elif isinstance(action, str) and action == "notify":
            known.append(action)
    sound = tweaks.get("sound")
    return Verdict(
        notify="notify" in known,
        rule=rule,
        actions=tuple(known),
        highlight="highlight" in tweaks and (tweaks["highlight"] is None or tweaks["highlight"] is True),
        sound=sound if isinstance(sound, str) and sound else None,
    )
