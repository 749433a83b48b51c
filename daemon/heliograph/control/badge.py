"""Writes the signal that sets the number on an icon in docks and task bars: com.canonical.Unity.LauncherEntry, as
dash-to-dock, Plank, the Ubuntu dock and Plasma's task manager read it."""

from __future__ import annotations

from dbus_fast import Message, Variant

from heliograph.core.summary.summary import Summary

DOCK_NAME = "com.canonical.Unity"
"""The bus name that docks take. One that takes this name after our start has missed all earlier signals."""
PATH = "/com/canonical/unity/launcherentry/io_github_heliograph"
INTERFACE = "com.canonical.Unity.LauncherEntry"


def badge_signal(desktop_id: str, summary: Summary | None) -> Message:
    """The signal Update for the icon of this desktop entry. `summary` None: the number is removed."""
    unread = 0 if summary is None else summary.unread
    return Message.new_signal(
        PATH,
        INTERFACE,
        "Update",
        "sa{sv}",
        [
            f"application://{desktop_id}",
            {
                "count": Variant("x", unread),
                "count-visible": Variant("b", unread > 0),
                "urgent": Variant("b", summary is not None and summary.highlights > 0),
            },
        ],
    )
