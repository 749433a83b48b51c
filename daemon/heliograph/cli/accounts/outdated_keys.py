"""Keys of signed-out devices are destroyed a day later: where no daemon runs any more, by the next command."""

from __future__ import annotations

import contextlib

from heliograph.accounts import state_root
from heliograph.encryption.olm.key_files import destroy_outdated
from heliograph.errors import StateError
from heliograph.system.clock import now_ms


def destroy_outdated_keys() -> None:
    """Says nothing: it is not what the command is about, and what cannot be deleted now may be the next time."""
    with contextlib.suppress(StateError):
        destroy_outdated(state_root(), now_ms())
