"""The server half: direct push (MSC3361) beside an unmodified homeserver.

proxy    server, proxy, versions, callers, pushers, registry, sync, attachments, passing
gateway  gateway, notification, limits; outbox with queue, cancellation, schedule, hold; forwarding, outcome, targets
between  values and ports; one SQLite file, relay.db
"""
