"""Numbers the entries of the menu for com.canonical.dbusmenu, and finds out what a host has to be told of a new menu.

An entry keeps its id for as long as it is in the menu, and no id is given twice: while a menu is open, a click means
the entry that the user sees, whatever has changed meanwhile. Test: test_a_click_means_what_the_user_saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from heliograph.core.tray.menu import MenuEntry
from heliograph.core.value_type import value_type

ROOT = 0
"""The id of the menu itself, by the interface."""
MOST_GONE = 200
"""So many entries that left the menu are remembered."""

Properties = Mapping[str, str | bool]
"""The properties of an entry by the interface's names."""


@value_type
class LayoutChange:
    """What a host that knew the menu before has to be told."""

    properties: Mapping[int, Properties] = field(default_factory=dict)
    """All properties of the entries that stayed in the menu and look different."""
    is_rearranged: bool = False
    """Entries came, went or moved."""

    def __bool__(self) -> bool:
        return bool(self.properties) or self.is_rearranged


class MenuLayout:
    """The menu as hosts know it."""

    def __init__(self, entries: Sequence[MenuEntry] = ()) -> None:
        self.revision = 0
        """Grows with each change of which entries there are, or of their order."""
        self._next_id = ROOT + 1
        self._entries: dict[int, MenuEntry] = {}
        self._gone: dict[int, MenuEntry] = {}
        """Entries that left the menu, the oldest first."""
        self.take(entries)

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of the entries, from top to bottom."""
        return tuple(self._entries)

    def take(self, entries: Sequence[MenuEntry]) -> LayoutChange:
        """Replaces the menu."""
        before, self._entries = self._entries, {}
        known = {entry.key: entry_id for entry_id, entry in (self._gone | before).items()}
        for entry in entries:
            self._entries[known.get(entry.key) or self._new_id()] = entry
        self._forget(before)
        is_rearranged = tuple(before) != self.ids
        self.revision += is_rearranged
        changed = {
            entry_id: properties_of(entry)
            for entry_id, entry in self._entries.items()
            if entry_id in before and properties_of(entry) != properties_of(before[entry_id])
        }
        return LayoutChange(changed, is_rearranged)

    def find(self, entry_id: int) -> MenuEntry | None:
        """The entry that has this id, or had it until lately."""
        return self._entries.get(entry_id) or self._gone.get(entry_id)

    def _new_id(self) -> int:
        new, self._next_id = self._next_id, self._next_id + 1
        return new

    def _forget(self, before: Mapping[int, MenuEntry]) -> None:
        gone = {**self._gone, **before}
        left = [entry_id for entry_id in gone if entry_id not in self._entries]
        self._gone = {entry_id: gone[entry_id] for entry_id in left[-MOST_GONE:]}


def properties_of(entry: MenuEntry) -> Properties:
    """The properties of this entry, also those that have the interface's default."""
    if entry.is_separator:
        return {"type": "separator", "visible": entry.is_visible}
    return {
        # An underscore marks the next letter as the key that chooses the entry; two are one that is seen.
        "label": entry.label.replace("_", "__"),
        "enabled": entry.command is not None,
        "visible": entry.is_visible,
    }
