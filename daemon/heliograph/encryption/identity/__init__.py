"""Whom our device is: verification, cross-signing, secrets, key backup, device trust."""
