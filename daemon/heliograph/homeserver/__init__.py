"""Speaks the Client-Server API with one homeserver. Only this room knows the API's JSON.

session         sends one request and reads its answer; each failure becomes a ServerError
answer          says which error an answer means that is no success
parts, event    decode an answer part by part and event by event, so that a broken one costs only itself
sync_response   turns the body of a /sync into the core's values
client, keys, rooms, room_actions   the ports of `ports.homeserver`, over the other modules
"""
