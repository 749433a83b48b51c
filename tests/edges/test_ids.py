"""Only a check makes an id of a text, so that nothing else can reach a homeserver: neither keys of our own nor
whatever a user or a stranger wrote."""

from __future__ import annotations

import ast
from pathlib import Path

import heliograph
from heliograph.core.ids import OwnKey
from heliograph.core.record import Delivery
from heliograph.ports.gateways import PushRelay
from heliograph.ports.homeserver import Homeserver, Keys, RoomActions, Rooms, SyncRequest

SOURCES = Path(heliograph.__file__).parent
ID_TYPES = {"RoomId", "EventId", "UserId", "FilterRoomId"}
MAKERS = {
    Path("core/ids.py"),
    Path("core/popups/samples.py"),  # of rooms and people that do not exist
    Path("demo/user.py"),  # what the demonstration's own homeserver answered
    Path("store/rooms.py"),  # a blank, to compare with
}


def test_nothing_but_the_checks_makes_an_id_of_a_text() -> None:
    files = {path.relative_to(SOURCES): path for path in SOURCES.rglob("*.py")}
    assert files.keys() >= MAKERS
    makers = {name: _made_in(ast.parse(path.read_text())) for name, path in files.items()}
    assert {name: made for name, made in makers.items() if made and name not in MAKERS} == {}


def _made_in(tree: ast.Module) -> set[str]:
    """Id types that this module calls or casts to."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "heliograph.core.ids"
        for alias in node.names
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {node.func.id for node in calls if isinstance(node.func, ast.Name)} & imported
    casts = [node.args[0] for node in calls if isinstance(node.func, ast.Name) and node.func.id == "cast"]
    return (called | {ast.unparse(target).strip("'\"") for target in casts}) & ID_TYPES


async def _is_refused_by_mypy(
    homeserver: Homeserver,
    keys: Keys,
    rooms: Rooms,
    actions: RoomActions,
    relay: PushRelay,
    delivery: Delivery,
    key: OwnKey,
    text: str,
) -> None:
    """Never run. `tests/run` runs mypy, which fails for each of these lines that it would accept."""
    SyncRequest("s1", 0, receipts_in=frozenset({delivery.room_id}))  # type: ignore[arg-type]
    await homeserver.room_facts([delivery.room_id])  # type: ignore[list-item]
    await homeserver.open_invites([text])  # type: ignore[list-item]
    await homeserver.member(delivery.room_id, delivery.sender)  # type: ignore[arg-type]
    await homeserver.messages(key, since="s1", until=None, limit=1)  # type: ignore[arg-type]
    await homeserver.event(delivery.room_id, delivery.event_id)  # type: ignore[arg-type]
    await homeserver.context(delivery.room_id, delivery.event_id, limit=1)  # type: ignore[arg-type]
    await keys.query_keys([delivery.sender])  # type: ignore[list-item]
    await keys.backed_up_key("1", text, "session")  # type: ignore[arg-type]
    await rooms.send(key, "m.room.message", {}, "1")  # type: ignore[arg-type]
    await rooms.audience(delivery.room_id)  # type: ignore[arg-type]
    await actions.mark_read(delivery.room_id, delivery.event_id, is_public=False)  # type: ignore[arg-type]
    await actions.join(text)  # type: ignore[arg-type]
    await actions.leave(key)  # type: ignore[arg-type]
    await actions.add_direct(delivery.room_id, delivery.sender)  # type: ignore[arg-type]
    await relay.acknowledge([delivery.event_id], 0)  # type: ignore[list-item]
