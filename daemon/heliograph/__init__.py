"""Heliograph: Matrix notifications straight from the homeserver to the desktop.

ARCHITECTURE.md, beside the README, has the rooms of this package and which of them may import which.
"""

__version__ = "0.1.0"
