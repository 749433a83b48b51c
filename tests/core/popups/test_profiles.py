"""Which profile a notification server gets, and what that makes of a notification."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heliograph.core.notification import Action, Category, Urgency
from heliograph.core.popups.profile import SAFE, ServerProfile, Told, Update
from heliograph.core.popups.profiles import CINNAMON, DUNST, GNOME, PLASMA, choose_profile, word_profile
from support.builders import make_notification


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
    update = make_notification(is_update=True)
    assert GNOME.urgency(update) is Urgency.LOW
    assert GNOME.urgency(make_notification()) is Urgency.NORMAL
    assert GNOME.urgency(replace(update, urgency=Urgency.CRITICAL)) is Urgency.CRITICAL
    assert PLASMA.urgency(update) is Urgency.NORMAL


def test_a_question_is_unfolded_on_gnome_shell() -> None:
    """Its banner hides the buttons of what is not critical. The same on the real one: the situation "mute"."""
    question = make_notification(category=Category.DEVICE, actions=(Action("day", "For a day"),))
    assert GNOME.urgency(question) is Urgency.CRITICAL
    assert PLASMA.urgency(question) is Urgency.NORMAL
    assert GNOME.urgency(replace(question, actions=())) is Urgency.NORMAL, "nothing is asked"


def test_gnome_shell_gets_nothing_as_a_replacement() -> None:
    """Its banner would be asked for by the urgency of what is replaced."""
    assert GNOME.update(is_update=False) is GNOME.update(is_update=True) is Update.RENEW
    assert SAFE.update(is_update=False) is SAFE.update(is_update=True) is Update.REPLACE


def test_a_profile_is_named_with_the_versions_that_were_looked_at() -> None:
    assert word_profile(DUNST) == "known as dunst, by its name; looked at: 1.9 to 1.13"
    assert word_profile(choose_profile("cosmic-notifications", ())) == "known as COSMIC, by its name"
    assert word_profile(choose_profile("somebody's own", {"inhibitions"})) == "not known here, by its name"
