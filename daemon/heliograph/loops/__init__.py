"""The daemon's loops: each does one thing, over ports, until it is cancelled. None knows another."""
