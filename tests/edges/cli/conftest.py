from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from conftest import Home
from edges.login_server import PASSWORD, LoginServer
from edges.private_keyring import private_keyring
from edges.scripted_gateway import ScriptedGateway
from heliograph.cli import commands
from support.builders import ME
from support.buses import PrivateBus


class Shell:
    """Runs commands as a terminal would, in the test's own environment."""

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(commands, arguments, input=stdin, prog_name="heliograph")


@pytest.fixture
def shell() -> Shell:
    return Shell()


@pytest.fixture
def server() -> Iterator[LoginServer]:
    with LoginServer() as server:
        yield server


@pytest.fixture
def private_keyring_bus(private_bus: PrivateBus, home: Home) -> Iterator[str]:
    """The session bus of the test has an unlocked gnome-keyring."""
    with private_keyring(private_bus.address, home.path):
        yield private_bus.address


@pytest.fixture
def signed_in(shell: Shell, server: LoginServer) -> LoginServer:
    """ME has signed in, with the token in a file."""
    options = ("--homeserver", server.url, "--secrets", "file", "--password-stdin")
    assert shell.run("login", ME, *options, stdin=f"{PASSWORD}\n").exit_code == 0
    return server


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with ScriptedGateway() as gateway:
        yield gateway
