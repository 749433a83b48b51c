-- Pushers that the handoff switched off: these alone are switched on again.
CREATE TABLE switched_off (
    app_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    PRIMARY KEY (app_id, pushkey)
) WITHOUT ROWID;

-- The fallback's pusher as it was registered last.
ALTER TABLE account ADD COLUMN fallback_app_id TEXT;
ALTER TABLE account ADD COLUMN fallback_pushkey TEXT;
