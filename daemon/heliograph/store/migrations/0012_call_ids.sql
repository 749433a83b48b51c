-- The id by which the events of a call of two name it. NULL: the delivery is of no such call.
ALTER TABLE deliveries ADD COLUMN call_id TEXT;
