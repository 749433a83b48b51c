"""Devices with a direct pusher: their pushers, their connections, and the notifications that were carried to them."""
