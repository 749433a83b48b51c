"""The loop of one account: ask, keep, decide, commit, and only then ask again, which is the acknowledgement.

loop: the turns and their back-off; gathering: what a plan needs besides the sync; gaps: what a timeline left out.
"""

from heliograph.sync_loop.loop import Surroundings, SyncLoop, SyncSettings

__all__ = ["Surroundings", "SyncLoop", "SyncSettings"]
