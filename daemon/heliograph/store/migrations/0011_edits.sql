-- The event in whose place an edit rings by itself; NULL: the delivery is of no edit.
ALTER TABLE deliveries ADD COLUMN edits TEXT;
