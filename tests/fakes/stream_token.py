"""Tokens of the homeservers that tests play: a letter for the list, and a place in that."""

from __future__ import annotations


def read_place(token: str, prefix: str = "s") -> int | None:
    """The place in the list that the letter stands for; None for what is no token of that list, where Synapse answers
    400 M_UNKNOWN."""
    number = token.removeprefix(prefix)
    if not token.startswith(prefix) or not (number.isascii() and number.isdecimal()):
        return None
    return int(number)
