-- Until now no device had keys, so nothing that was kept in the inbox can ever be read.
DROP TABLE inbox;
DROP TABLE inbox_totals;

-- Our own device. One row, written when its keys are made.
CREATE TABLE device (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    account BLOB NOT NULL,
    is_published INTEGER NOT NULL DEFAULT 0,
    fallback_ms INTEGER NOT NULL DEFAULT 0
);

-- To-device events that were handled, by the SHA-256 of their bytes: the homeserver repeats what was not acknowledged.
CREATE TABLE taken (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE
);

-- To-device events that came to nothing, and why. The newest few.
CREATE TABLE rejected (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    sender TEXT NOT NULL,
    type TEXT NOT NULL,
    why TEXT NOT NULL
);

-- Olm sessions with other devices. `used` is when they last were, in seconds.
CREATE TABLE olm_sessions (
    session_id TEXT PRIMARY KEY,
    sender_key TEXT NOT NULL,
    pickle BLOB NOT NULL,
    created REAL NOT NULL,
    used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX olm_sessions_by_key ON olm_sessions (sender_key, used);
CREATE INDEX olm_sessions_by_age ON olm_sessions (used);

-- Megolm sessions of others and of our own. `sender` is '' where the key backup brought it.
CREATE TABLE room_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    pickle BLOB NOT NULL,
    sender TEXT NOT NULL,
    sender_key TEXT NOT NULL,
    sender_ed25519 TEXT NOT NULL,
    is_from_backup INTEGER NOT NULL,
    is_used INTEGER NOT NULL DEFAULT 0,
    UNIQUE (session_id, room_id)
);
CREATE INDEX room_keys_by_age ON room_keys (is_used, id);

-- Which event used which place of a Megolm session, so that none can be played again as another.
CREATE TABLE message_indices (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    room_key INTEGER NOT NULL REFERENCES room_keys (id) ON DELETE CASCADE,
    message_index INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    UNIQUE (room_key, message_index)
);

-- Why a room key was not given to us, as m.room_key.withheld said.
CREATE TABLE withheld (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    code TEXT NOT NULL,
    UNIQUE (session_id, room_id, sender)
);

-- Devices that a reply was encrypted for: their keys must not change.
CREATE TABLE devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    curve25519 TEXT NOT NULL,
    ed25519 TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID;

-- Small texts, encrypted with the pickle key.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    content BLOB NOT NULL
) WITHOUT ROWID;
