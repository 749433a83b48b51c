"""Counts what is unread, and sums it up for status bars and docks."""
