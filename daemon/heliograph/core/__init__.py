"""Values in, values out. No clock, no IO, no logging, no async; the standard library only."""
