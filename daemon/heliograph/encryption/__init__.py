"""What to-device messages bring: kept in the inbox before they are acknowledged."""
