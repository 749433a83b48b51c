"""The SQLite file relay.db. The only SQL of the relay."""
