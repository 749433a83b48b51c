"""What the relay knows of devices, on disk and in memory."""
