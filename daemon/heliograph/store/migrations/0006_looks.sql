-- How a notification looks: its text as markup, the mxc: URI of its picture, what its thread is about.
ALTER TABLE deliveries ADD COLUMN markup TEXT;
ALTER TABLE deliveries ADD COLUMN avatar TEXT;
ALTER TABLE deliveries ADD COLUMN thread TEXT;

-- The mxc: URI of a member's picture; NULL: none is known.
ALTER TABLE members ADD COLUMN avatar_url TEXT;
