"""Encryption as values: what events bring, signed JSON, verification and trust."""
