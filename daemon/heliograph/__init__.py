"""Heliograph: Matrix notifications straight from the homeserver to the desktop.

core         what should ring and how it is delivered: pure, values in, values out
homeserver   the Client-Server API; the only place that knows wire JSON
store        the ledger, SQLite; the only place with SQL
secrets      where the access token lives: Secret Service, file, systemd credential
encryption   what to-device messages bring, kept before they are acknowledged
desktop      freedesktop notifications over D-Bus, plyer, terminal
control      the D-Bus interface of the running daemon, and its client
cli, demo    the commands
app          the only wiring; sync_loop, delivery_loop and pusher_loop are what it starts
"""

__version__ = "0.1.0"
