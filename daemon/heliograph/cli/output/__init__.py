"""What commands write: tables, lines, times, failures."""
