"""`heliograph test --walk`, as a user types it in a terminal."""

from __future__ import annotations

from desktops.desktop import Wrong
from desktops.machine import HOME
from desktops.scene import Scene
from heliograph.core.popups.profile import SAFE
from heliograph.core.popups.scenes import walk_scenes

_REPORT = HOME / ".cache/heliograph/walk.txt"
_WALK_S = 300.0


async def walk(scene: Scene) -> None:
    """Each scene is shown, and the report has the server and the answers, and nobody's name."""
    names = [each.name for each in walk_scenes(SAFE.layout)]
    answers = "\\n".join(["y"] * len(names))
    # script(1) is its terminal; what is typed ahead answers the questions one after the other.
    line = f"printf '{answers}\\n' | script --quiet --return --command 'heliograph test --walk' /dev/null"
    told = await scene.machine.user("sh", "-c", line, check=False, seconds=_WALK_S)
    report = await scene.machine.user("cat", str(_REPORT), check=False)
    missing = [name for name in names if f"  {name}: yes\n" not in report]
    if missing:
        last = told.strip().splitlines()[-1:]
        raise Wrong(f"of the walk the report lacks: {', '.join(missing)}; the last line was {last}")
    for private in (scene.me.user_id, HOME.name):
        if private in report:
            raise Wrong(f"the report of the walk has {private!r}")


WALK = {"walk": walk}
