CREATE TABLE twins (
    hidden_pushkey TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    url TEXT,
    original TEXT NOT NULL,
    is_enabled INTEGER NOT NULL,
    device_id TEXT,
    is_adopted INTEGER NOT NULL,
    UNIQUE (user_id, app_id, pushkey)
) WITHOUT ROWID;

CREATE TABLE direct_pushers (
    user_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    device_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    is_enabled INTEGER NOT NULL,
    delay_ms INTEGER NOT NULL,
    active_ms INTEGER NOT NULL,
    fallback TEXT,
    original TEXT NOT NULL,
    waker TEXT,
    PRIMARY KEY (user_id, app_id, pushkey)
) WITHOUT ROWID;

-- What stood in GET /notifications when the direct pusher was switched on is older than the device's interest.
CREATE TABLE direct_devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    since_ts INTEGER NOT NULL,
    PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID;

-- Notifications that a response carried, and whether that response was acknowledged.
CREATE TABLE attached (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    ts INTEGER NOT NULL,
    is_acknowledged INTEGER NOT NULL,
    PRIMARY KEY (user_id, device_id, event_id),
    FOREIGN KEY (user_id, device_id) REFERENCES direct_devices ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE carried (
    serial INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    next_batch TEXT NOT NULL,
    event_ids TEXT NOT NULL,
    UNIQUE (user_id, device_id, next_batch),
    FOREIGN KEY (user_id, device_id) REFERENCES direct_devices ON DELETE CASCADE
);
