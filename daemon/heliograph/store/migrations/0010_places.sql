-- Where an event stands in its room, by the timelines of syncs; NULL: no timeline has had it, only a list. Times would
-- not tell, and positions are given in the order in which events were heard of.
ALTER TABLE judged ADD COLUMN place INTEGER;
UPDATE judged SET place = position;

-- The last place that was given.
ALTER TABLE account ADD COLUMN last_place INTEGER NOT NULL DEFAULT 0;
UPDATE account SET last_place = coalesce((SELECT max(position) FROM judged), 0);

-- Whether the homeserver has ever counted anything as unread.
ALTER TABLE account ADD COLUMN has_counted INTEGER NOT NULL DEFAULT 0;
