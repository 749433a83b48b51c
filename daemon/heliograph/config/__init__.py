"""config.toml: what can be set (`settings`), how the file is read (`reading`) and how it is printed (`printing`)."""
