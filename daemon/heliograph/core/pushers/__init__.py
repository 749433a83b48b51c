"""Pushers: their form, who of them rings, and the fallback."""
