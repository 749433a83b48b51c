"""What is unread, and its summary for bars and docks."""
