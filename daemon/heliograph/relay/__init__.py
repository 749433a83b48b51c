"""The server half: direct push (MSC3361) beside an unmodified homeserver.

server      starts it; routes, observers, check, config, monitoring, metrics, clock
proxy       requests that pass on to the homeserver
gateway     pushes that come from it, and desktops that say what they have shown
sync        what a device with direct push is answered to /sync
pushers     the pushers of such devices, and their twins at the homeserver
queue       pushes on their way out: held, sent, tried again, taken back
state       what is known of devices, pushers and connections; wire, the bodies; model, the values
between     ports; one SQLite file, relay.db
"""
