"""Talks to the machine for all other rooms: D-Bus, SQLite, systemd, processes, files, tasks, the log. Nothing here
knows Matrix."""
