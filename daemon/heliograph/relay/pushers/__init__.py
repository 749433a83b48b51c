"""Pushers of users with direct push, and the twins that stand at the homeserver for their http pushers."""
