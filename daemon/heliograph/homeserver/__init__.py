"""The Client-Server API of one homeserver. The only place that knows its JSON.

session     one request and its answer, over matrix-nio's HTTP session; every failure becomes a ServerError
client      ports.Homeserver, put together from the modules below
wire        a /sync body becomes core's values, each event decoded alone
"""
