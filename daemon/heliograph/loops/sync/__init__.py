"""The loop of one account: ask, keep, decide, commit, and only then ask again, which is the acknowledgement.

loop        the turns, in their surroundings
waiting     the waits between them, which a nudge ends
sign_out    whether the device was really signed out
trouble     what the user is told while it does not work
collecting  who waits until everything is here
starting    the first sync ever, and starting anew
decryption  encrypted events become what they say
planner     from a sync to its plan, with gathering (facts), gaps (what was left out) and salvage (our own faults)
rulebook    the push rules in force
mode        who says what rings
"""

from heliograph.loops.sync.loop import SyncLoop
from heliograph.loops.sync.surroundings import Surroundings, SyncSettings

__all__ = ["Surroundings", "SyncLoop", "SyncSettings"]
