"""The ledger: the account's memory, in SQLite. The only place with its SQL."""
