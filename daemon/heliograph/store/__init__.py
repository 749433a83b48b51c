"""Keeps the ledger, the account's memory, in SQLite. All of its SQL is in this room."""
