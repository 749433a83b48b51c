"""What lies below everything: D-Bus, SQLite, systemd, processes, files, tasks, the log. Nothing of Matrix."""
