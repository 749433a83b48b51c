"""An OAuth 2.0 server in the manner of Matrix Authentication Service (MAS), which a real Synapse takes for one.

`server.py` has what a client meets there: the metadata, OAuth 2.0, the older ways to sign in and out
(https://element-hq.github.io/matrix-authentication-service/topics/compatibility-layer.html), and the introspection by
which Synapse learns whose an access token is. All other requests go on to Synapse, so that `AuthServer.url` is the
homeserver's address. Nothing is kept on disk.

It differs from MAS: the browser gets no cookies, there is no id_token and no rate limit of its own, a device is deleted
at once, and sessions are never cleaned up.
"""
