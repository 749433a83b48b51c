"""Pushers, pushes and carried notifications as values, and what is decided of them: no clock, disk or network."""
