"""The program, and the only place that wires.

daemon            what accounts share, from start to stop
running           the accounts beside one another: they open, run, and end without the others
account           one account from start to stop: its ledger, its deliveries, its access token, and how it ends
signed_in         one account while it is signed in: its clients, its keys and its loops
services          what accounts are given of all that
daemon_api        what the daemon answers over D-Bus, of all accounts
verification_api  the same of verification
access_tokens     the access tokens of an account, which commands open, too
keyring_wait      waiting for the access token: a keyring may be locked, come late or hang
watchdog          when systemd's watchdog is fed
session_watch     when the session that the daemon was started in is over
status_line       the line of `systemctl status`
outdated_keys     keys of signed-out devices, destroyed a day later
"""
