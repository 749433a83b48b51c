"""`/sync` of devices with direct push."""
