-- A room key may come from several users, and each one's is kept: UNIQUE had only the first. SQLite changes no UNIQUE of a
-- table, so it is made anew, and with it the table that refers to it: dropping room_keys would empty that.
CREATE TABLE candidates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    pickle BLOB NOT NULL,
    sender TEXT NOT NULL,
    sender_key TEXT NOT NULL,
    sender_ed25519 TEXT NOT NULL,
    is_from_backup INTEGER NOT NULL,
    is_used INTEGER NOT NULL DEFAULT 0,
    UNIQUE (session_id, room_id, sender)
);
INSERT INTO candidates SELECT id, room_id, session_id, pickle, sender, sender_key, sender_ed25519, is_from_backup, is_used
    FROM room_keys;
CREATE TABLE indices (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    room_key INTEGER NOT NULL REFERENCES candidates (id) ON DELETE CASCADE,
    message_index INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    UNIQUE (room_key, message_index)
);
INSERT INTO indices SELECT position, room_key, message_index, event_id FROM message_indices
    WHERE room_key IN (SELECT id FROM candidates);
DROP TABLE message_indices;
DROP TABLE room_keys;
ALTER TABLE candidates RENAME TO room_keys;
ALTER TABLE indices RENAME TO message_indices;
CREATE INDEX room_keys_by_age ON room_keys (is_used, id);
