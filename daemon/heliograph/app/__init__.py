"""The program, and the only place that wires.

daemon            what accounts share, from start to stop
account           one account: its stores, its session, its loops, and how it ends
daemon_api        what the daemon answers over D-Bus, of all accounts
verification_api  the same of verification
keyring_wait      waiting for the access token: a keyring may be locked, come late or hang
watchdog          when systemd's watchdog is fed
session_watch     when the session that the daemon was started in is over
"""
