"""Delta debugging: the fewest steps with which a life still fails (Zeller and Hildebrandt, "Simplifying and Isolating
Failure-Inducing Input", 2002)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Places = tuple[int, ...]


async def shorten(places: Places, fails: Callable[[Places], Awaitable[bool]], tries: int) -> Places:
    """A part of `places` with which `fails` is still true, and without any one of which it is not, unless `tries`,
    the most that `fails` is asked, are over before."""
    parts = 2
    while len(places) > 1 and tries > 0:
        size = -(-len(places) // parts)
        for start in range(0, len(places), size):
            rest = places[:start] + places[start + size :]
            if not rest:
                continue
            tries -= 1
            if await fails(rest):
                places, parts = rest, max(parts - 1, 2)
                break
            if tries <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(2 * parts, len(places))
    return places
