-- Hidden pushkeys of twins that were dropped here, which the homeserver may still push to: it is told to delete them. A
-- pushkey that is neither here nor in `twins` may be of a twin that this file has lost.
CREATE TABLE withdrawn (
    serial INTEGER PRIMARY KEY,
    hidden_pushkey TEXT NOT NULL UNIQUE
);
