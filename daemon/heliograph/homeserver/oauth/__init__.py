"""Signing in by OAuth 2.0, as the Client-Server API has it since 1.15: what the authorization server offers, and the
requests that are sent to it.

https://spec.matrix.org/v1.18/client-server-api/#oauth-20-api
"""
