-- Rows that could not be read, as text: table and key, all that they held, and what was wrong.
CREATE TABLE set_aside (
    serial INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    key TEXT NOT NULL,
    content TEXT NOT NULL,
    why TEXT NOT NULL,
    set_aside_ms INTEGER NOT NULL
);
