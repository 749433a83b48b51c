"""The server half: direct push (MSC3361) beside an unmodified homeserver.

proxy    server, proxy, versions, callers, pushers, registry, sync, attachments, passing
gateway  gateway, outbox, hold, targets, limits
between  values and ports; one SQLite file, relay.db
"""
