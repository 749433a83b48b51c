"""Writes the report of a walk: the notification server, and what was seen. Neither who saw it, nor on which machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from heliograph import __version__
from heliograph.core.text.clean import clean_line
from heliograph.core.value_type import value_type
from heliograph.desktop.server import Traits

_DESKTOP = ("XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE")
_LIMIT = 100


class SightKind(Enum):
    """Whether a scene was seen as it should be."""

    YES = "yes"
    NO = "NO"
    OTHER = "INSTEAD"
    LEFT_OUT = "left out"
    FAILED = "NOT SHOWN"


@value_type
class Sight:
    """What was seen of one scene."""

    scene: str
    kind: SightKind
    words: str = ""
    """With OTHER: what the user saw instead; with FAILED: why it was not shown."""
    heard: tuple[str, ...] = ()
    """What came back from the notification server meanwhile."""


def without_words(sight: Sight) -> Sight:
    """The same without what the user wrote."""
    return replace(sight, words="in words that were left out") if sight.kind is SightKind.OTHER else sight


def describe_surroundings(traits: Traits, *, is_inhibited: bool, plays_sounds: bool) -> list[str]:
    """Lines on the notification server, the desktop and Heliograph."""
    desktop = [clean_line(os.environ.get(name, ""), _LIMIT) or "not named" for name in _DESKTOP]
    return [
        f"Heliograph {__version__}, Python {platform.python_version()}",
        f"Notification server: {traits.title}",
        f"  profile: {traits.profile.name}",
        *(f"    {reason}" for reason in traits.profile.reasons),
        f"  it says: {', '.join(sorted(traits.capabilities)) or 'nothing'}",
        f"  do not disturb: {'on' if is_inhibited else 'off, or not told'}",
        f"  sounds are played by: {'the server' if plays_sounds else 'Heliograph'}",
        f"Desktop: {', '.join(desktop)}",
    ]


def write_report(surroundings: Sequence[str], sights: Sequence[Sight], missing: Sequence[str]) -> str:
    """The report as text. `missing`: the scenes to which the walk did not come."""
    lines = [*surroundings, "", "Scenes:"]
    for sight in sights:
        lines.append(f"  {sight.scene}: {sight.kind.value}{f' ({sight.words})' if sight.words else ''}")
        lines.extend(f"    {each}" for each in sight.heard)
    lines.extend(f"  {name}: not reached" for name in missing)
    return "".join(f"{line}\n" for line in lines)
