"""Decides what the item in the desktop's tray shows, and what its menu holds."""
