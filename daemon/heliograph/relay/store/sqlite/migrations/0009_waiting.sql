-- How many pushes wait of each user ('*' for all together), and how many bytes they have. Triggers keep count, so that a
-- bound costs no scan.
CREATE TABLE waiting_sums (
    user_id TEXT PRIMARY KEY,
    pushes INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX waiting_sums_by_size ON waiting_sums (bytes);
INSERT INTO waiting_sums SELECT user_id, count(*), sum(size) FROM pushes WHERE outcome IS NULL GROUP BY user_id;
INSERT INTO waiting_sums SELECT '*', count(*), coalesce(sum(size), 0) FROM pushes WHERE outcome IS NULL;
CREATE TRIGGER waiting_more AFTER INSERT ON pushes WHEN NEW.outcome IS NULL
BEGIN
    INSERT INTO waiting_sums VALUES (NEW.user_id, 1, NEW.size), ('*', 1, NEW.size)
    ON CONFLICT (user_id) DO UPDATE SET pushes = pushes + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER waiting_settled AFTER UPDATE OF outcome ON pushes WHEN OLD.outcome IS NULL AND NEW.outcome IS NOT NULL
BEGIN
    UPDATE waiting_sums SET pushes = pushes - 1, bytes = bytes - OLD.size WHERE user_id IN (OLD.user_id, '*');
    DELETE FROM waiting_sums WHERE user_id = OLD.user_id AND pushes = 0;
END;
CREATE TRIGGER waiting_deleted AFTER DELETE ON pushes WHEN OLD.outcome IS NULL
BEGIN
    UPDATE waiting_sums SET pushes = pushes - 1, bytes = bytes - OLD.size WHERE user_id IN (OLD.user_id, '*');
    DELETE FROM waiting_sums WHERE user_id = OLD.user_id AND pushes = 0;
END;
