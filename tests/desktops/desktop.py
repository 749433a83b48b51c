"""What every desktop is to the situations: something that shows popups, keeps a list of them, and is clicked at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from desktops.machine import Machine
from desktops.sight import Box

TRAY_RED = (192, 28, 40)
"""The colour behind the number of unread messages, if one is a mention."""


class Desktop(ABC):
    """A desktop's session. Texts are as they can be read: where a picture is read, not letter by letter."""

    name: str
    environment: Mapping[str, str]
    """Variables of its session."""
    area: Box = (0, 0, 1280, 800)
    """The part of the screen in which popups and the list are."""
    tray_area: Box | None = None
    """Where its tray is; None: it has none."""
    keeps_tray = True
    """Whether what draws the tray always runs."""
    has_list = True
    """Whether it keeps what its popups said."""
    folds_list = False
    """Whether only the newest of a program's notifications can be read there at first."""
    takes_text = False
    """Whether a reply can be typed into a popup."""
    draws_buttons = True
    """Whether the actions of a popup can be read on it; else the user chooses in a menu."""
    opening = "Reply"
    """The label of the button that opens the room where nothing can be typed."""
    marking = "Mark as read"
    """The label of the button that marks as read."""
    oddities: Mapping[str, str] = {}
    """Situations that go wrong for a reason outside of us, and the reason."""
    left_out: Mapping[str, str] = {}
    """Situations that cannot be played there, and why not."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @abstractmethod
    async def start(self) -> None:
        """Returns when notifications can be shown, and nothing is on the screen."""

    @abstractmethod
    async def version(self) -> str:
        """Its name and version, for people."""

    @abstractmethod
    async def take_picture(self, picture: Path) -> None:
        """The whole screen, as PNG; the file lies in the machine's shared folder."""

    @abstractmethod
    async def popups(self) -> str:
        """What the popups say that are on the screen now."""

    @abstractmethod
    async def kept(self) -> str:
        """What its list of notifications says."""

    @abstractmethod
    async def press(self, label: str) -> None:
        """The user clicks the button of that label in the popup on the screen. Raises Wrong if there is none."""

    @abstractmethod
    async def dismiss(self) -> None:
        """The user closes the popup on the screen."""

    @abstractmethod
    async def type_reply(self, text: str) -> None:
        """The user types into the popup, and sends that. Only where that `takes_text`."""

    @abstractmethod
    async def clear(self) -> None:
        """Nothing is on the screen or in the list afterwards."""

    @abstractmethod
    async def set_locked(self, *, is_locked: bool) -> None: ...

    @abstractmethod
    async def set_do_not_disturb(self, *, is_on: bool) -> None: ...

    @abstractmethod
    async def restart_server(self) -> None:
        """What shows notifications ends, and is started again."""

    @abstractmethod
    async def names_in_settings(self) -> str:
        """What its settings of notifications say, in which programs are listed."""

    @abstractmethod
    async def read_screen(self) -> str:
        """All that can be read on the screen at a glance, on top of a lock as well."""

    @abstractmethod
    async def read_popup(self, picture: Path) -> str:
        """What can be read of the popups on a picture that was taken."""

    async def restart_tray(self) -> None:
        """What draws the tray ends, and is started again; just started where it does not always run."""
        raise NotImplementedError(f"{self.name} has no tray")

    async def end_tray(self) -> None:
        """What draws the tray ends. Only where that does not always run (`keeps_tray`)."""
        raise NotImplementedError(f"the tray of {self.name} always runs")

    async def choose_in_tray(self, label: str) -> None:
        """The user opens the menu of our item, and chooses that. Raises Wrong if it is not there."""
        raise NotImplementedError(f"{self.name} has no tray")

    async def run(self, line: str) -> str:
        """What a line of the shell writes in the session."""
        return await self.machine.user("sh", "-c", line, check=False)


class Wrong(Exception):
    """What a person sees or hears is not what it should be."""
