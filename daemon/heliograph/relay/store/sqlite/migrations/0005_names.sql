-- Who else has a pusher of this name is asked whenever one is set.
CREATE INDEX twins_by_name ON twins (app_id, pushkey);
CREATE INDEX direct_pushers_by_name ON direct_pushers (app_id, pushkey);
