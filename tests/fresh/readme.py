"""What the README, and the pages on the relay, tell their readers to type."""

from __future__ import annotations

import re
from dataclasses import dataclass

from documentation.pages import Page, read_page

_COMMENT = re.compile(r"\s{2,}#.*$")
_PACKAGES = re.compile(r"\bsudo apt install ([a-z0-9.+ -]*[a-z0-9+])")


@dataclass(frozen=True, slots=True)
class Chapter:
    """What stands below one heading of a page, which is named by its path."""

    page: str
    heading: str

    def block(self, number: int) -> list[str]:
        """The lines of that indented block. Raises ValueError, IndexError."""
        return self._read().blocks(self.heading)[number]

    def commands(self, number: int) -> list[str]:
        """The same without what is said about them."""
        return [_COMMENT.sub("", line) for line in self.block(number)]

    def packages(self) -> list[str]:
        """The Debian packages that the chapter wants."""
        return sorted({name for names in _PACKAGES.findall(self._read().text(self.heading)) for name in names.split()})

    def _read(self) -> Page:
        return read_page(self.page)


SEE = Chapter("README.md", "See it")
USE = Chapter("README.md", "Install it and sign in")
CHANGE = Chapter("README.md", "Change the code")
RELAY = Chapter("docs/relay.md", "Beside your homeserver")
RELAY_UPDATE = Chapter("docs/relay.md", "Backup and updates")
RELAY_RELOAD = Chapter("docs/relay-operation.md", "Changing the settings")
