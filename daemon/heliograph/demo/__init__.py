"""The demonstration: a throwaway homeserver, accounts on it, and the real daemon for one of them."""
