"""Servers of tests keep the port that they were given, whoever else looks for one."""

from __future__ import annotations

import contextlib
import errno
import random
import socket

import pytest

import heliograph.demo.homeserver
from heliograph.demo.homeserver import free_port
from heliograph.errors import UserError
from support.ports import reserve_port


class Server:
    """Listens, and stops; its port is reserved."""

    def __init__(self) -> None:
        self.port = reserve_port(self)

    def listen_and_stop(self) -> None:
        with socket.create_server(("127.0.0.1", self.port)), socket.create_connection(("127.0.0.1", self.port)):
            pass


@pytest.fixture
def two_ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """All ports that there are to choose from."""
    for first in random.sample(range(20000, 31999), 100):
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", first))
            other.bind(("127.0.0.1", first + 1))
            break
    ports = [first, first + 1]
    monkeypatch.setattr(heliograph.demo.homeserver, "_PORTS", ports)
    return ports


def test_a_reserved_port_is_given_to_nobody_else_before_between_and_after_it_is_listened_at(
    two_ports: list[int],
) -> None:
    server = Server()
    for _ in range(2):
        assert {free_port() for _ in range(50)} == set(two_ports) - {server.port}
        server.listen_and_stop()
    other = Server()
    assert {server.port, other.port} == set(two_ports)
    with pytest.raises(UserError, match="No free port"):
        free_port()


def test_a_reserved_port_refuses_connections_until_it_is_listened_at() -> None:
    server = Server()
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", server.port)) == errno.ECONNREFUSED
    server.listen_and_stop()


def test_a_port_is_free_again_when_its_holder_is_gone(two_ports: list[int]) -> None:
    server = Server()
    assert len({free_port() for _ in range(50)}) == 1
    del server
    assert {free_port() for _ in range(50)} == set(two_ports)
