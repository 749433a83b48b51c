"""Which back end is chosen where, and what a user hears who names one that cannot work."""

from __future__ import annotations

import io
import os

import pytest

from heliograph.desktop.choice import open_desktop
from heliograph.errors import EXIT_CONFIG, UserError
from support.buses import PrivateBus


async def chosen(backend: str = "auto", stream: object = None) -> str:
    desktop = await open_desktop(backend, stream or io.StringIO())  # type: ignore[arg-type]
    await desktop.shut()
    return desktop.name


async def test_a_session_bus_is_enough_for_freedesktop_even_without_a_server(private_bus: PrivateBus) -> None:
    assert await chosen() == await chosen("freedesktop") == "freedesktop"


async def test_plyer_can_be_asked_for_where_there_is_a_bus(private_bus: PrivateBus) -> None:
    assert await chosen("plyer") == "plyer"


async def test_a_display_without_a_bus_is_for_plyer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    assert await chosen() == await chosen("plyer") == "plyer"


async def test_with_neither_it_is_written_where_somebody_reads() -> None:
    assert await chosen() == await chosen("terminal") == "terminal"
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as pipe:
        assert await chosen(stream=pipe) == "terminal"


async def test_messages_do_not_go_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with open(os.devnull, "w") as nowhere, pytest.raises(UserError, match="nowhere"):  # noqa: ASYNC230
        await chosen(stream=nowhere)


async def test_a_bus_that_is_away_is_waited_for_rather_than_writing_into_the_journal() -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: ASYNC230
        assert await chosen(stream=nowhere) == "freedesktop"


@pytest.mark.parametrize("backend", ["freedesktop", "plyer"])
async def test_a_named_one_that_cannot_work_is_refused(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with pytest.raises(UserError, match="no session bus"):
        await chosen(backend)


@pytest.mark.parametrize("address", ["unix:path=/nowhere/bus", "nonsense", "unix:", "tcp:host=127.0.0.1,port=x"])
async def test_a_named_bus_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    with pytest.raises(UserError, match="does not answer"):
        await chosen("freedesktop")


async def test_an_unknown_one_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(UserError, match="growl") as raised:
        await chosen("growl")
    assert raised.value.exit_code == EXIT_CONFIG
