"""Reads what the user typed: words of commands, user ids, secrets."""
