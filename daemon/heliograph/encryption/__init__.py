"""End-to-end encryption: the device's keys in crypto.db, what to-device messages bring, what encrypted events say.

olm       one device's keys: every operation a transaction in crypto.db's thread, over matrix-nio's Olm machine
identity  verification, cross-signing, secret storage, key backup, and how far devices are trusted
sending   replies into encrypted rooms
"""
