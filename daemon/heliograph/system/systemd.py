"""Tells systemd how the daemon is doing (sd_notify(3)). Without systemd each function does nothing."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)

_MAX_STATUS = 200


def ready(status: str) -> None:
    """Says that the start is over, so that `systemctl start` returns. `status` as below."""
    _send("READY=1", _status(status))


def status(text: str) -> None:
    """Sets the line that `systemctl status` shows."""
    _send(_status(text))


def feed_watchdog() -> None:
    """Says that the loops turn. systemd kills the daemon if this is not said for the unit's WatchdogSec."""
    _send("WATCHDOG=1")


def watchdog_s() -> float | None:
    """The unit's WatchdogSec in seconds; None: systemd does not watch this process."""
    try:
        patience = int(os.environ.get("WATCHDOG_USEC", "")) / 1_000_000
        # The variables are inherited: a program that the watched process started is not the one meant.
        is_ours = int(os.environ.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except ValueError:
        return None
    return patience if is_ours and patience > 0 else None


def stopping() -> None:
    """Says that the daemon is stopping."""
    _send("STOPPING=1")


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:_MAX_STATUS]


def _send(*assignments: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        # Names in the abstract namespace begin with a zero byte, which no environment variable can hold.
        address = "\0" + address[1:]
    try:
        # Not blocking: a systemd that does not read must not hang the daemon.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
            sock.sendto("\n".join(assignments).encode(errors="replace"), address)
    except OSError as error:
        log.debug("systemd was not told %s: %s", assignments[0], error)
