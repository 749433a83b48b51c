"""Clients of push gateways: one tries the fallback's gateway, one talks to a relay that is a gateway only."""
