"""Writes what commands print: tables, lines, times, failures."""
