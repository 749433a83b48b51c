-- Why an encrypted event could not be read when it was judged.
ALTER TABLE judged ADD COLUMN encryption TEXT NOT NULL DEFAULT '';

-- Encrypted events, as they came, until their room keys come.
CREATE TABLE locked (
    event_id TEXT PRIMARY KEY,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    event TEXT NOT NULL,
    kept_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX locked_by_key ON locked (session_id);
CREATE INDEX locked_by_room ON locked (room_id);
CREATE INDEX locked_by_age ON locked (kept_ms);
