"""Requests that pass on to the homeserver: who asks, how often, and over which connection."""
