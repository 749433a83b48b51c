"""Which profile a notification server gets, and what that makes of a notification."""

from __future__ import annotations

import pytest

from heliograph.core.notification import Urgency
from heliograph.core.popups.profile import SAFE, ServerProfile, Told, Update
from heliograph.core.popups.profiles import CINNAMON, DUNST, GNOME, PLASMA, choose_profile, word_profile


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("gnome-shell", GNOME),
        ("Plasma", PLASMA),
        ("dunst", DUNST),
        ("cinnamon", CINNAMON),
        ("somebody's own", SAFE),
        ("", SAFE),
    ],
)
def test_a_server_is_known_by_its_name(name: str, profile: ServerProfile) -> None:
    assert choose_profile(name, ()) == profile


def test_an_unknown_server_that_says_that_it_tells_of_do_not_disturb_is_asked() -> None:
    assert choose_profile("somebody's own", {"inhibitions"}).told is Told.INHIBITED
    assert choose_profile("dunst", {"inhibitions"}).told is Told.DUNST


def test_a_change_that_nobody_needs_to_see_goes_to_the_list_alone_where_there_is_a_way() -> None:
    assert GNOME.urgency(Urgency.NORMAL, is_update=True) is Urgency.LOW
    assert GNOME.urgency(Urgency.NORMAL, is_update=False) is Urgency.NORMAL
    assert GNOME.urgency(Urgency.CRITICAL, is_update=True) is Urgency.CRITICAL
    assert PLASMA.urgency(Urgency.NORMAL, is_update=True) is Urgency.NORMAL


def test_gnome_shell_gets_nothing_as_a_replacement() -> None:
    """Its banner would be asked for by the urgency of what is replaced."""
    assert GNOME.update(is_update=False) is GNOME.update(is_update=True) is Update.RENEW
    assert SAFE.update(is_update=False) is SAFE.update(is_update=True) is Update.REPLACE


def test_a_profile_is_named_with_the_versions_that_were_looked_at() -> None:
    assert word_profile(DUNST) == "known as dunst, by its name; looked at: 1.9 to 1.13"
    assert word_profile(choose_profile("cosmic-notifications", ())) == "known as COSMIC, by its name"
    assert word_profile(choose_profile("somebody's own", {"inhibitions"})) == "not known here, by its name"
