"""Who rings when the user leaves and returns: this desktop, or the user's other devices.

loop         what has to be done, in which order, and again until it is done
token_watch  whether the access token lives long enough for that
switches     pushers are switched off and on, and which of them is off by our own doing
"""
