"""What tests/desktops/run makes of what it saw."""

from __future__ import annotations

from desktops.bus import tell
from desktops.report import Outcome, Played, Verdict, tabulate
from desktops.sight import Sight, Word

GOOD = Outcome(Verdict.GOOD)


def test_the_table_has_a_row_for_each_situation_and_the_reasons_below() -> None:
    shell = Played("Shell 48", {"call": GOOD, "edit": Outcome(Verdict.WRONG, "no banner", ("Notify replaces 3",))})
    other = Played("Other 6", {"call": Outcome(Verdict.ODD, "it clips")})
    assert tabulate([shell, other]).splitlines() == [
        "| situation | Shell 48 | Other 6 |",
        "|-----------|----------|---------|",
        "| call      | good     | odd     |",
        "| edit      | WRONG    |         |",
        "",
        "Shell 48, edit: WRONG: no banner",
        "    Notify replaces 3",
        "Other 6, call: odd: it clips",
    ]
    assert (shell.is_good, other.is_good) == (False, True)


def test_what_passed_over_the_bus_is_told_in_lines() -> None:
    hints = {"urgency": {"type": "y", "data": 1}, "image-data": {"type": "(iiibiiay)", "data": []}}
    notify = ["Heliograph", 3, "", "Alice", "Hello", ["default", "Open", "reply", "Reply"], hints, -1]
    messages = [
        {"type": "method_call", "member": "Notify", "payload": {"type": "susssasa{sv}i", "data": notify}},
        {"type": "method_call", "member": "Notify", "payload": {"type": "s", "data": ["nonsense"]}},
        {"type": "method_return", "payload": {"data": [4]}},
        {"type": "signal", "member": "NotificationClosed", "payload": {"data": [4, 1]}},
    ]
    assert tell(messages) == [
        "Notify replaces 3: 'Alice' 'Hello' [Open, Reply] urgency=1 picture",
        "NotificationClosed 4 1",
    ]


def test_text_is_found_on_a_picture_whatever_its_signs_are_and_the_lowest_is_meant() -> None:
    seen = Sight(
        (Word("Mark", 10, 10), Word("as", 20, 10), Word("Mark", 10, 90), Word("as", 20, 90), Word("read.", 33, 90))
    )
    assert seen.has("mark as Read")
    assert not seen.has("marked")
    assert seen.find("Mark as read") == (21, 90)
    assert seen.find("Reply") is None
    assert Sight((Word("Reply", 1, 1), Word("Mark", 4, 1), Word("asread", 8, 1))).find("Mark as read") == (6, 1)
