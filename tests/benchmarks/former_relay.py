"""Runs `heliograph relay` with a commit for each change, as the relay did before changes shared their commits."""

from __future__ import annotations

from heliograph.relay.store.sqlite import store
from heliograph.system.sqlite import Database


class CommitEach:
    """In place of `GroupCommit`."""

    def __init__(self, database: Database) -> None:
        self.transaction = database.transaction
        self.read = database.read

    async def close(self) -> None: ...


if __name__ == "__main__":
    from heliograph.cli import main

    vars(store)["GroupCommit"] = CommitEach
    main()
