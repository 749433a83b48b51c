"""Lets other programs of the same user talk to the running daemon, over the session bus.

docs/d-bus.md documents the interface. A version that breaks it gets another name.
"""

BUS_NAME = "io.github.heliograph"
OBJECT_PATH = "/io/github/heliograph"
INTERFACE = "io.github.heliograph.Daemon1"
ERROR = "io.github.heliograph.Error"
"""The D-Bus name of all errors that the caller or the user can mend. The text has two lines: what is wrong, and what to
do."""
NOBODY = tuple(f"org.freedesktop.DBus.Error.{name}" for name in ("ServiceUnknown", "NameHasNoOwner", "NoReply"))
"""Names of the bus's own errors where no daemon is there, or the daemon that was asked went before its answer."""
