"""The relay's database, behind `ports.Store`."""
