"""Pushers of devices with direct push, and their counterparts at the homeserver."""
