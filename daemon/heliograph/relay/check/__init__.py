"""`heliograph relay check`: from what a homeserver, the relay and the public address answer, to findings."""
