-- When a call stops to ring by itself, in ms since 1970; NULL or 0: what rings is no call.
ALTER TABLE deliveries ADD COLUMN rings_until_ms INTEGER;
CREATE INDEX deliveries_ringing ON deliveries (rings_until_ms) WHERE rings_until_ms > 0;
