"""The recipes of docs/relay.md, put together as the page says, from its own text."""

from __future__ import annotations

from documentation.pages import read_page

PROGRAMS = ("nginx", "caddy")
_HEADINGS = {"nginx": "nginx", "caddy": "Caddy"}
_WORKERS = "Synapse with workers"
_SIGNING = "Matrix Authentication Service"
RELAY, HOMESERVER, INNER, SIGNING = 8077, 8008, 8009, 8080
"""The ports that the page writes."""
SYNC_WORKER, CLIENT_WORKER = 8083, 8084


def recipe(program: str) -> str:
    """For a homeserver of one process."""
    (block,) = read_page("docs/relay.md").blocks(_HEADINGS[program])
    return _joined(block)


def recipe_without_relay() -> str:
    """For nginx, after the relay was taken out: without what the page says, and nothing else."""
    kept: list[str] = []
    within = False
    for line in recipe("nginx").splitlines():
        within |= line.startswith("    location ^~ /_matrix/client/ {")
        if not within and not line.startswith(("upstream heliograph ", "    location @past_relay ")):
            kept.append(line)
        within &= line != "    }"
    return _joined(kept)


def recipe_with_workers() -> str:
    """For nginx: the outer server and the inner one."""
    page = read_page("docs/relay.md")
    (line,) = (code for code in page.code if code.startswith("upstream homeserver { server 127.0.0.1:8009;"))
    outer = recipe("nginx").splitlines()
    (place,) = (number for number, each in enumerate(outer) if each.startswith("upstream homeserver "))
    outer[place] = line
    _, inner = page.blocks(_WORKERS)
    return _joined(outer) + _joined(inner)


def recipe_with_authentication_service(program: str) -> str:
    """Where another service answers /login, /logout and /refresh."""
    lines = recipe(program).splitlines()
    for_nginx, for_caddy = read_page("docs/relay.md").blocks(_SIGNING)
    if program == "caddy":
        place = lines.index("    handle /_matrix/client/* {")
        return _joined([*lines[:place], *for_caddy, *lines[place:]])
    start = lines.index(f"    {for_nginx[0]}")
    end = lines.index("    }", start)
    return _joined([*lines[:start], *for_nginx, *lines[end + 1 :]])


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
