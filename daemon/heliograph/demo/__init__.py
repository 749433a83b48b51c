"""Runs the demonstration: a throwaway homeserver, accounts on it, and the real daemon for one of them."""

from __future__ import annotations


async def run_demo(*, stay: bool = False) -> int:
    """Runs the demonstration, with `stay` until interrupted. Returns the exit code, 0 if everything arrived."""
    from heliograph.demo.scenario import run_demo

    return await run_demo(stay=stay)
