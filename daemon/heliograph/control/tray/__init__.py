"""Keeps an item in the desktop's tray: org.kde.StatusNotifierItem with a menu of com.canonical.dbusmenu.

Loaded only if the configuration asks for it.
"""

ITEM_PATH = "/StatusNotifierItem"
"""Where a watcher looks if it is told nothing but a bus name."""
MENU_PATH = "/MenuBar"
WATCHER_NAME = "org.kde.StatusNotifierWatcher"
WATCHER_PATH = "/StatusNotifierWatcher"
