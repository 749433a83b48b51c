"""The push gateway: pushes of the homeserver come in, desktops say what they have shown."""
