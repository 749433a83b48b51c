"""Pushers as the relay keeps them: direct ones, and the twins that stand at the homeserver for http pushers."""

from __future__ import annotations

from heliograph.core.events import Json
from heliograph.core.value_type import value_type

MARK = "io.github.heliograph.relay"
"""The property of a pusher's `data` that names its twin where the pusher had to keep its own pushkey upstream. The
homeserver passes `data` on with each push, as the Push Gateway API says."""

DELAY_MS = 3_000
ACTIVE_MS = 5_000
LEAST_DELAY_MS, MOST_DELAY_MS = 200, 60_000
LEAST_ACTIVE_MS, MOST_ACTIVE_MS = 0, 300_000


@value_type
class Twin:
    """A pusher that stands at the homeserver in an http pusher's place, with the relay as its gateway."""

    hidden_pushkey: str
    """128 random bits, known to the homeserver and the relay only: whoever knows them may push."""
    user_id: str
    app_id: str
    pushkey: str
    """The original's. A waker has its hidden one here."""
    url: str | None
    """Where the original's pushes go. None: a waker, whose pushes are announced and end at the relay."""
    original: Json
    """The body of POST /pushers/set as the client sent it, without `append`, `enabled` and their unstable names."""
    is_enabled: bool = True
    """MSC3881. A push for a disabled one is announced to direct devices, and goes no further."""
    device_id: str | None = None
    """The device that registered the original, as far as the homeserver or the relay knows."""
    is_adopted: bool = False
    """The original was there before the relay, and kept its pushkey upstream; `data` has the hidden one as `MARK`."""

    @property
    def upstream_pushkey(self) -> str:
        """The twin's pushkey in GET /pushers of the homeserver, in its pushes and in `rejected`."""
        return self.pushkey if self.is_adopted else self.hidden_pushkey


UNCLAIMED = "unclaimed "


def unclaimed(hidden_pushkey: str) -> str:
    """What stands for the user of a twin that was taken up from a push, until the user's own list tells whose it is."""
    return f"{UNCLAIMED}{hidden_pushkey}"


def is_unclaimed(twin: Twin) -> bool:
    """Whether nobody has told whose the twin is."""
    return twin.user_id == unclaimed(twin.hidden_pushkey)


@value_type
class DirectPusher:
    """A pusher of kind `direct`, which only the relay knows."""

    user_id: str
    device_id: str
    app_id: str
    pushkey: str
    kind: str
    """`direct` or `org.matrix.msc3361.direct`, as the client calls it."""
    is_enabled: bool
    delay_ms: int
    """How long an HTTP push waits for the acknowledgement."""
    active_ms: int
    """For how long after its last sync the device counts as there."""
    fallback: frozenset[tuple[str, str]] | None
    """(app_id, pushkey) of the http pushers that wait for this device; None: all of the user's."""
    original: Json
    waker: str | None = None
    """Hidden pushkey of the twin that wakes this device and shares its fate at the homeserver."""

    def is_waited_for_by(self, app_id: str, pushkey: str) -> bool:
        return self.fallback is None or (app_id, pushkey) in self.fallback
