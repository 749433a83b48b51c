"""Shared by all HTTP clients and servers: requests that are sent only once, the reason why one failed, a quiet log."""
