-- Whether each direct device is there. `ended_ms` NULL: a request of it was open. Those of before this table may be on
-- their way back.
CREATE TABLE presence (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    ended_ms INTEGER,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID;
INSERT INTO presence SELECT DISTINCT user_id, device_id, NULL, 0 FROM direct_pushers;
