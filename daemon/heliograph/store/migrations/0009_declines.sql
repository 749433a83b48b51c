-- Whether a call that rings can be declined by an event (MSC4310); NULL or 0: what rings is no such call.
ALTER TABLE deliveries ADD COLUMN can_decline INTEGER;
