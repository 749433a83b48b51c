-- Rooms that are mute for a time, and the push rule that is to go then.
CREATE TABLE mutes (
    room_id TEXT PRIMARY KEY,
    rule_id TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    was_there INTEGER NOT NULL
) WITHOUT ROWID;
