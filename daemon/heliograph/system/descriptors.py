"""How many files and sockets this process may have open at once."""

from __future__ import annotations

import contextlib
import resource

MOST = 65_536
"""More than that a process here has no use for."""


def raise_limit() -> int:
    """Raises the soft limit of open files as far as the hard one allows, up to MOST. Returns what it is then.

    A shell and systemd give a soft limit of 1,024, for programs that use select(2); this one does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # A sandbox may forbid it: then there are as many as before.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else soft
