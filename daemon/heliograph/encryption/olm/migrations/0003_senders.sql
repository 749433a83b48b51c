-- Devices that messages came from, and whether their owners had signed them when that was looked up.
CREATE TABLE sender_devices (
    user_id TEXT NOT NULL,
    curve25519 TEXT NOT NULL,
    ed25519 TEXT NOT NULL,
    is_signed INTEGER NOT NULL,
    checked_ms INTEGER NOT NULL,
    PRIMARY KEY (user_id, curve25519, ed25519)
) WITHOUT ROWID;
CREATE INDEX sender_devices_by_age ON sender_devices (checked_ms);
