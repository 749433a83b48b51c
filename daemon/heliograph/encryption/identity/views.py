"""Verifications as the user is to see them: the emoji to compare, and how they ended."""

from __future__ import annotations

import logging
from collections.abc import Callable

from heliograph.core.encryption.emoji import Emoji
from heliograph.core.encryption.verification import Phase, Verification
from heliograph.core.value_type import value_type

log = logging.getLogger(__name__)

MOST = 6
"""Verifications remembered, the ones that ended included; the oldest are forgotten."""


@value_type
class View:
    """One verification as the user is to see it."""

    transaction_id: str
    phase: Phase
    device_id: str | None = None
    """The other device; None: none has answered yet."""
    emoji: tuple[Emoji, ...] = ()
    decimals: tuple[int, ...] = ()
    code: str = ""
    """With CANCELLED: why, like m.mismatched_sas."""


class Views:
    """The latest verifications of one account. `on_view` is called with each that changed."""

    def __init__(self, on_view: Callable[[View], None]) -> None:
        self._on_view = on_view
        self._views: dict[str, View] = {}
        """Views by transaction id; the one that last changed comes last."""

    def show(self, verification: Verification) -> None:
        """Tells how this verification stands, if that is other than before."""
        view = View(
            verification.transaction_id,
            verification.phase,
            verification.other,
            verification.emoji,
            verification.decimals,
            verification.code,
        )
        if self._views.get(view.transaction_id) == view:
            return
        # Taken out first, so that it comes last: dicts keep the place of a key that is only overwritten.
        self._views.pop(view.transaction_id, None)
        self._views[view.transaction_id] = view
        while len(self._views) > MOST:
            del self._views[next(iter(self._views))]
        log.info("Verification with %s: %s %s", view.device_id or "other devices", view.phase.value, view.code)
        self._on_view(view)

    def find(self, transaction_id: str | None) -> View | None:
        """The view of this transaction; without an id the one that last changed. None: there is none."""
        if transaction_id is not None:
            return self._views.get(transaction_id)
        return next(reversed(self._views.values()), None)
