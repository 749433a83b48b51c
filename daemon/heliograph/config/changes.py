"""Compares two configurations."""

from __future__ import annotations

from heliograph.config.settings import Config


def changed_settings(before: Config, after: Config) -> list[str]:
    """The settings that differ, in the order of the file, each as "[desktop] tray"."""
    return [
        f"[{section}] {key}"
        for section in Config.__struct_fields__
        for key in getattr(before, section).__struct_fields__
        if getattr(getattr(before, section), key) != getattr(getattr(after, section), key)
    ]
