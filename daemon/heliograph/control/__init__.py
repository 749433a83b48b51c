"""How other programs ask the running daemon, over the session bus. Whoever is the same user may.

name       io.github.heliograph
object     /io/github/heliograph
interface  io.github.heliograph.Daemon1: Status() -> s (JSON)
"""

BUS_NAME = "io.github.heliograph"
OBJECT_PATH = "/io/github/heliograph"
INTERFACE = "io.github.heliograph.Daemon1"
