"""Lets other programs of the same user talk to the running daemon, over the session bus.

docs/d-bus.md documents the interface. A version that breaks it gets another name.
"""

BUS_NAME = "io.github.heliograph"
OBJECT_PATH = "/io/github/heliograph"
INTERFACE = "io.github.heliograph.Daemon1"
ERROR = "io.github.heliograph.Error"
"""The D-Bus name of all errors that the caller or the user can mend. The text has two lines: what is wrong, and what to
do."""
