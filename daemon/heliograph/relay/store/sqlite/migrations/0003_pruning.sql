-- By age only those that may be forgotten: looking for them passes over none that waits, however many do.
DROP INDEX pushes_by_age;
CREATE INDEX pushes_to_forget ON pushes (received_ms) WHERE outcome IS NOT NULL;
