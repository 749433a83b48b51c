"""What `heliograph doctor` looks at, one module for each thing that can be wrong.

machine        the session bus, the disk, systemd's unit, the desktop entry
notifications  what shows them
running        the daemon, and how its accounts fare
account        secret, homeserver, device, pusher, clock, ledger: of each account
"""
