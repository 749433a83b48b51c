"""What is left to be put back while the relay leaves, in words for its operator."""

from __future__ import annotations

from collections.abc import Iterator

from heliograph.core.text.clean import clean_line, count_things
from heliograph.relay.model.pushers import UNCLAIMED
from heliograph.relay.store.sqlite.overview import Overview

SHOWN = 20
"""Users who are named."""


def describe_rest(rest: Overview) -> Iterator[str]:
    """Lines that say how many pushers still lead through the relay, and whose they are."""
    if rest.is_empty:
        yield "Nothing leads through the relay any more."
        return
    if rest.pushers:
        pushers, users = rest.pushers.total(), len(rest.pushers)
        verb = "leads" if pushers == 1 else "lead"
        yield f"{count_things(pushers, 'pusher')} of {count_things(users, 'user')} {verb} through the relay:"
        for user_id, number in sorted(rest.pushers.items())[:SHOWN]:
            # A user whose list has not told yet whose the pusher is.
            name = "a user not known yet" if user_id.startswith(UNCLAIMED) else clean_line(user_id, 255)
            yield f"    {name}: {number}"
        if users > SHOWN:
            yield f"    and {count_things(users - SHOWN, 'more user')}"
    if rest.waiting:
        wait = "waits" if rest.waiting == 1 else "wait"
        yield f"{count_things(rest.waiting, 'push', 'pushes')} {wait} to be sent."
