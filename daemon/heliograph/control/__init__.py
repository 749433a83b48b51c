"""How other programs ask the running daemon, over the session bus. Whoever is the same user may.

The interface is documented in docs/d-bus.md. Another version of it gets another name.
"""

BUS_NAME = "io.github.heliograph"
OBJECT_PATH = "/io/github/heliograph"
INTERFACE = "io.github.heliograph.Daemon1"
ERROR = "io.github.heliograph.Error"
"""The name of every error that is the caller's or the user's matter. Its text: what is wrong, a newline, what to do."""
