"""End-to-end encryption: the device's keys in crypto.db, what to-device messages bring, what encrypted events say.

machine     one device's; every operation a transaction
key_files   crypto.db as files: set aside for a day after a sign-out, put back, destroyed
engine      what the machine does within one: olm (matrix-nio's), olm_store, room_keys, vault
receiving   to-device events, behind the guard; decryption, of room events
uploads     the keys that the device publishes; sealing, to-device events for others
texts       what strangers send, checked first
"""
