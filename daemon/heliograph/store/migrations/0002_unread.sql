-- A notification that was closed, or that the desktop refused, leaves its message unread: it keeps what it says.
-- Those of earlier versions have lost it and count as read.
UPDATE deliveries SET state = 'opened' WHERE state = 'dismissed';
UPDATE deliveries SET state = 'cancelled' WHERE state = 'lost';
DROP INDEX deliveries_open;
CREATE INDEX deliveries_open ON deliveries (room_id, position)
    WHERE state IN ('pending', 'shown', 'dismissed', 'lost');
