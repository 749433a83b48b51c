"""Where notifications appear, and what the desktop tells: clicks, closings, the network coming up, the end of sleep."""
