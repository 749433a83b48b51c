"""Reads config.toml (`reading`) into its settings (`settings`), and prints them (`printing`)."""
