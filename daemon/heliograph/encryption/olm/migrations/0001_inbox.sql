-- To-device events as they came, in their order, each once. `digest` is the SHA-256 of the bytes.
CREATE TABLE inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    event BLOB NOT NULL
);

-- What the inbox holds, so that its bounds cost nothing to check, and how much they ever cost us. One row.
CREATE TABLE inbox_totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    events INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0
);
INSERT INTO inbox_totals (id) VALUES (1);
