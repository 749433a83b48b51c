-- The account's own state. One row.
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    next_batch TEXT,
    last_sync_ms INTEGER NOT NULL DEFAULT 0,
    is_silenced INTEGER NOT NULL DEFAULT 0,
    is_pusher_enabled INTEGER NOT NULL DEFAULT 1
);
INSERT INTO account (id) VALUES (1);

-- Account data as JSON, apart from the row above, which every sync rewrites: push rules can be large.
CREATE TABLE account_data (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL
) WITHOUT ROWID;

-- Every event that was looked at. AUTOINCREMENT: a position is never used again, even after pruning.
CREATE TABLE judged (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    room_id TEXT,
    decision TEXT NOT NULL,
    reason TEXT NOT NULL,
    rule TEXT,
    sender TEXT,
    thread_root TEXT,
    origin_server_ts INTEGER NOT NULL,
    judged_ms INTEGER NOT NULL
);
CREATE INDEX judged_by_age ON judged (judged_ms);

-- What the ledger believes to be on screen. (server, popup_id) is the notification server's life and its id.
CREATE TABLE popups (
    key TEXT PRIMARY KEY,
    server TEXT NOT NULL,
    popup_id INTEGER NOT NULL,
    digest TEXT NOT NULL,
    is_stale INTEGER NOT NULL
) WITHOUT ROWID;

-- What rings. The last seven columns are its content, erased (text NULL) when it is settled.
CREATE TABLE deliveries (
    position INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    room_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    thread_root TEXT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_ms INTEGER NOT NULL DEFAULT 0,
    popup_key TEXT REFERENCES popups (key) ON DELETE SET NULL,
    why TEXT NOT NULL DEFAULT '',
    room_title TEXT,
    sender_name TEXT,
    text TEXT,
    category TEXT,
    is_direct INTEGER,
    is_highlight INTEGER,
    sound TEXT
);
CREATE INDEX deliveries_open ON deliveries (room_id, position) WHERE state IN ('pending', 'shown');
CREATE INDEX deliveries_pending ON deliveries (due_ms) WHERE state = 'pending';
CREATE INDEX deliveries_on_screen ON deliveries (popup_key) WHERE popup_key IS NOT NULL;

-- Facts of a room as JSON, without its members' names.
CREATE TABLE rooms (
    room_id TEXT PRIMARY KEY,
    facts TEXT NOT NULL,
    invite_serial INTEGER NOT NULL
) WITHOUT ROWID;

-- Display names that were needed. '' is known to have none.
CREATE TABLE members (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (room_id, user_id)
) WITHOUT ROWID;
CREATE INDEX members_by_age ON members (seen_ms);
