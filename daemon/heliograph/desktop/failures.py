"""Decides by the D-Bus error that answers Notify whether a notification is tried again, and when."""

from __future__ import annotations

from heliograph.core.delivery import Declined, RetryLater

EXCESS_DELAY_S = 1.1
"""Plasma refuses the same notification within 1 s (ExcessNotificationGeneration)."""
STARTING_DELAY_S = 2.0
TROUBLE_DELAY_S = 10.0
NOT_STARTED_DELAY_S = 60.0
"""The bus could not start a server, often because there is no display for it."""


def _errors(*names: str) -> frozenset[str]:
    return frozenset(f"org.freedesktop.DBus.Error.{name}" for name in names)


_DEFINITE = _errors("InvalidArgs", "InvalidSignature", "InconsistentMessage", "NotSupported", "AccessDenied")
_STARTING = _errors("UnknownMethod", "UnknownObject", "UnknownInterface")
"""Servers take their name before their object is in place."""
_GONE = _errors("ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected")


def is_starting(error_name: str) -> bool:
    """Whether the error only says that the server has its name, and not its object yet."""
    return error_name in _STARTING


def is_passing(error_name: str) -> bool:
    """Whether the error only says that the server is starting or gone, and nothing about the call."""
    return error_name in _STARTING or error_name in _GONE


def judge_failure(error_name: str, why: str, *, is_server_there: bool) -> RetryLater | Declined:
    """When to try again, or that trying again is pointless. `is_server_there`: whether a server owns the name by now,
    perhaps another one than the one that failed."""
    if error_name in _DEFINITE or error_name.endswith(".InvalidId"):
        return Declined(why)
    if error_name.endswith(".ExcessNotificationGeneration"):
        return RetryLater(EXCESS_DELAY_S, why)
    if error_name in _GONE:
        # A server that is there by now was told of already: no change would wake the caller.
        return RetryLater(STARTING_DELAY_S if is_server_there else None, why)
    if error_name in _STARTING:
        return RetryLater(STARTING_DELAY_S, why)
    if error_name.startswith("org.freedesktop.DBus.Error.Spawn."):
        return RetryLater(NOT_STARTED_DELAY_S, why)
    return RetryLater(TROUBLE_DELAY_S, why)
