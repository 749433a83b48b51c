"""What the loops need of the world. Each port has one contract suite in tests/contract, which fakes pass too.

homeserver  the Client-Server API: syncs, rooms, keys, pushers
encryption  our device's keys
ledger      the account's memory
desktop     notifications, presence, pictures, opening a room
notices     where the user is told of trouble, and asked
secrets     where the secrets of accounts lie
tokens      access tokens, which may expire
gateways    a relay that is a gateway only
"""
