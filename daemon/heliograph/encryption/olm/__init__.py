"""What runs within crypto.db's thread: one device's keys, behind a guard.

machine       every operation a transaction
key_files     crypto.db as files: set aside for a day after a sign-out, put back, destroyed
engine        what the machine does within one: nio_machine (matrix-nio's), nio_store, room_keys, vault
receiving     to-device events, behind the guard; decryption, of room events
uploads       the keys that the device publishes; sealing, to-device events for others
texts         what strangers send, checked first; guard, one error for whatever that, or a damaged row, makes raise
losses        what damaged rows have cost, for the user
peeking       reads crypto.db beside the daemon, for `heliograph explain`
"""
