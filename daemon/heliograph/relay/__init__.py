"""The server half: direct push (MSC3361) beside an unmodified homeserver.

server      starts it; routes, observers, check, config, monitoring, metrics, clock
proxy       requests that pass on to the homeserver
gateway     pushes that come from it, and desktops that say what they have shown
sync        what a device with direct push is answered to /sync
pushers     the pushers of such devices, and their twins at the homeserver
queue       pushes on their way out: held, sent, tried again, taken back
state       devices, their pushers and connections, and what was carried to them
store       the database behind ports.Store: one SQLite file, relay.db
wire        bodies of requests and answers; model, the values of all rooms and what is decided of them
ports       what the rooms ask of one another, and of a database
"""
