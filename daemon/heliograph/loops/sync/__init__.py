"""The loop of one account: ask, decide, commit, and only then ask again, which is the acknowledgement.

loop         the turns; facts: what the loop knows now, for others to ask
listener     whom the turns are told to, and what of them; settings: what the configuration says
polling      the requests, with narrowing (a homeserver that refuses filters)
contact      what is lost with the homeserver: connection (its state), catching_up and collecting (who waits)
commits      from a sync to the ledger, with keeping (what the disk refuses) and pruning
starting     the first sync ever, and starting anew
planner      from a sync to its plan, with decryption, gathering (room facts), threads (their names), gaps (what was
             left out) and salvage (faults of our own)
mode         who says what rings; rulebook: the push rules in force
recovery     what follows a failure, with waiting, trouble (what the user is told) and sign_out
"""

from heliograph.loops.sync.facts import SyncFacts
from heliograph.loops.sync.listener import Commit, SyncListener, ToDevice
from heliograph.loops.sync.loop import SyncLoop
from heliograph.loops.sync.settings import SyncSettings

__all__ = ["Commit", "SyncFacts", "SyncListener", "SyncLoop", "SyncSettings", "ToDevice"]
