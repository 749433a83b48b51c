"""Pushers as values: which of them ring, the order of a handoff, and the fallback."""
