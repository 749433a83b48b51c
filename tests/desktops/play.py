"""Plays the situations on one desktop, from the boot to the last picture."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from desktops.bus import tell
from desktops.buttonless import Dunst, Mako
from desktops.cinnamon import Cinnamon
from desktops.desktop import Desktop, Wrong
from desktops.gnome import Gnome
from desktops.machine import Machine
from desktops.plasma import Plasma
from desktops.report import Outcome, Played, Verdict
from desktops.scene import Scene, set_scene
from desktops.situations import SITUATIONS
from desktops.small import Budgie, Lxqt, Mate, Xfce
from desktops.sway import Swaync
from desktops.tree import PROGRAMS
from heliograph.demo.homeserver import ThrowawaySynapse
from support.guarded_synapse import GuardedSynapse
from system.systemd_box import SystemdBox

_SITUATION_S = 900
_LAST_CALLS = 12
_PLASMA = {"bookworm": 5, "trixie": 6}

Say = Callable[[str], None]


def desktops(release: str) -> Mapping[str, Callable[[Machine], Desktop]]:
    """By their names, as that release of Debian has them."""
    return {
        "gnome": Gnome,
        "plasma": lambda machine: Plasma(machine, _PLASMA[release]),
        "swaync": Swaync,
        "cinnamon": Cinnamon,
        "lxqt": Lxqt,
        "mate": Mate,
        "xfce": Xfce,
        "budgie": Budgie,
        "mako": Mako,
        "dunst": Dunst,
    }


@contextlib.asynccontextmanager
async def open_scene(tree: Path, name: str, release: str, pictures: Path) -> AsyncIterator[Scene]:
    """The desktop is up, Heliograph runs on it, and everybody is there; all of it is gone at the block's end."""
    with tempfile.TemporaryDirectory(prefix="desktop.") as folder:
        shared = Path(folder)
        os.chmod(shared, 0o777)
        box = SystemdBox(shared, lower=tree, programs=PROGRAMS)
        async with GuardedSynapse() as synapse:
            try:
                await asyncio.to_thread(box.start)
                yield await _begin(Machine(box, shared), name, release, synapse, pictures)
            finally:
                await asyncio.to_thread(box.stop)


async def _begin(machine: Machine, name: str, release: str, synapse: ThrowawaySynapse, pictures: Path) -> Scene:
    desktop = desktops(release)[name](machine)
    await machine.install()
    await machine.begin(desktop.environment)
    await desktop.start()
    return await set_scene(desktop, machine, synapse, pictures)


async def play(scene: Scene, names: Sequence[str], say: Say) -> Played:
    """Those situations, one after the other; each begins with an empty screen."""
    outcomes = {}
    title = await scene.desktop.version()
    say(title)
    for name in names:
        outcomes[name] = outcome = await _play_one(scene, name)
        say(f"{name:24}{outcome.verdict.value}{f': {outcome.why}' if outcome.why else ''}")
    return Played(title, outcomes)


async def _play_one(scene: Scene, name: str) -> Outcome:
    desktop = scene.desktop
    if (reason := desktop.left_out.get(name)) is not None:
        return Outcome(Verdict.LEFT_OUT, reason)
    scene.situation = name
    passed = len(await scene.machine.bus_log())
    try:
        await scene.calm()
        async with asyncio.timeout(_SITUATION_S):
            await SITUATIONS[name](scene)
    # A command that fails in the session, or does not end, is wrong as well: the rest of the table is still wanted.
    except (Wrong, AssertionError, TimeoutError, subprocess.TimeoutExpired) as error:
        with contextlib.suppress(AssertionError):
            await scene.picture("wrong")
        why = str(error) or f"it took longer than {_SITUATION_S} s"
        if (reason := desktop.oddities.get(name)) is not None:
            return Outcome(Verdict.ODD, f"{reason} ({why})")
        said = tell((await scene.machine.bus_log())[passed:])
        return Outcome(Verdict.WRONG, why, tuple(said[-_LAST_CALLS:]))
    return Outcome(Verdict.GOOD)
