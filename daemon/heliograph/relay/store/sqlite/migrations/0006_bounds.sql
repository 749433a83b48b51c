-- How many events are remembered as settled for each user ('' for everyone, '*' for all together), and how many bytes
-- their texts have. Triggers keep count, so that a bound costs no scan.
ALTER TABLE settled ADD COLUMN size INTEGER GENERATED ALWAYS AS (
    length(CAST(event_id AS BLOB)) + length(CAST(user_id AS BLOB))
    + length(CAST(room_id AS BLOB)) + length(CAST(detail AS BLOB))
) VIRTUAL;
CREATE INDEX settled_of_user ON settled (user_id, settled_ms);
CREATE TABLE settled_sums (
    user_id TEXT PRIMARY KEY,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO settled_sums SELECT user_id, count(*), sum(size) FROM settled GROUP BY user_id;
INSERT INTO settled_sums SELECT '*', count(*), coalesce(sum(size), 0) FROM settled;
CREATE TRIGGER settled_more AFTER INSERT ON settled
BEGIN
    INSERT INTO settled_sums VALUES (NEW.user_id, 1, NEW.size), ('*', 1, NEW.size)
    ON CONFLICT (user_id) DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER settled_fewer AFTER DELETE ON settled
BEGIN
    UPDATE settled_sums SET entries = entries - 1, bytes = bytes - OLD.size WHERE user_id IN (OLD.user_id, '*');
    DELETE FROM settled_sums WHERE user_id = OLD.user_id AND entries = 0;
END;

-- How many pushes are kept of each pusher, those with an outcome among them.
ALTER TABLE phones ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
UPDATE phones SET kept = (SELECT count(*) FROM pushes WHERE pushes.hidden_pushkey = phones.hidden_pushkey);
CREATE TRIGGER pushes_more AFTER INSERT ON pushes
BEGIN
    UPDATE phones SET kept = kept + 1 WHERE hidden_pushkey = NEW.hidden_pushkey;
END;
CREATE TRIGGER pushes_fewer AFTER DELETE ON pushes
BEGIN
    UPDATE phones SET kept = kept - 1 WHERE hidden_pushkey = OLD.hidden_pushkey;
END;
