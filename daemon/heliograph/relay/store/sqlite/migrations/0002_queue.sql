-- What the relay knows of the phone (or whatever it is) behind an http pusher, and of its gateway.
CREATE TABLE phones (
    hidden_pushkey TEXT PRIMARY KEY,
    -- The unread count of the last push that went out; NULL: none did; -1: one did, and nobody knows what became of it.
    shown INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    retry_ms INTEGER NOT NULL DEFAULT 0,
    is_rejected INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Pushes in the order of their arrival. Those with an outcome stay for some days: by them repeats are known.
CREATE TABLE pushes (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    hidden_pushkey TEXT NOT NULL REFERENCES phones ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    -- NULL: a clearing push, which tells of no event.
    event_id TEXT,
    room_id TEXT,
    -- Root of its thread, or "main"; NULL: not known.
    thread_id TEXT,
    unread INTEGER,
    received_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    is_brief INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL,
    payload TEXT,
    outcome TEXT
);
CREATE UNIQUE INDEX pushes_by_event ON pushes (hidden_pushkey, event_id);
CREATE INDEX pushes_waiting ON pushes (hidden_pushkey, position) WHERE outcome IS NULL;
CREATE INDEX pushes_of_user ON pushes (user_id, room_id) WHERE outcome IS NULL;
CREATE INDEX pushes_of_event ON pushes (event_id);
CREATE INDEX pushes_by_age ON pushes (received_ms);

-- Events that are settled for a user ('' for everyone), for pushes that come later than that.
-- `detail` is the device that acknowledged, or the thread that was read.
CREATE TABLE settled (
    event_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    why TEXT NOT NULL,
    detail TEXT NOT NULL,
    room_id TEXT NOT NULL,
    settled_ms INTEGER NOT NULL,
    PRIMARY KEY (event_id, user_id, why, detail, room_id)
) WITHOUT ROWID;
CREATE INDEX settled_by_age ON settled (settled_ms);
