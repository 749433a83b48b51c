"""What is started for a click, with programs that only note what they were told."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Home
from heliograph.core.ids import EventId, RoomId
from heliograph.desktop.opener import RoomOpener
from heliograph.errors import UserError
from support.waiting import until

ROOM = RoomId("!room:example.org")
EVENT = EventId("$event")


_SYSTEMD_RUN = """\
while [ "$1" != -- ]; do
    case "$1" in --setenv=*) export "${1#--setenv=}" ;; esac
    shift
done
shift
exec "$@"
"""


class Programs:
    """A PATH on which every program is a script of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._notes = folder / "notes"
        folder.mkdir()

    def add(self, name: str, script: str) -> None:
        """The script notes its name and arguments first, then its activation token."""
        path = self.folder / name
        note = f'echo "{name} $* ${{XDG_ACTIVATION_TOKEN-}}" >>{self._notes}\n'
        path.write_text(f"#!/bin/sh\n{note}{script}\n")
        path.chmod(0o700)

    def add_client(self, scheme: str, desktop_id: str) -> None:
        self.add("xdg-mime", f'[ "$3" = x-scheme-handler/{scheme} ] && echo {desktop_id}')

    def calls(self) -> list[str]:
        return [line.strip() for line in self._notes.read_text().splitlines()] if self._notes.exists() else []

    def started(self) -> list[str]:
        return [call for call in self.calls() if not call.startswith(("xdg-mime", "systemd-run", "setsid"))]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """The user's service manager, xdg-open and nheko."""
    programs = Programs(tmp_path / "programs")
    monkeypatch.setenv("PATH", str(programs.folder))
    programs.add("systemd-run", _SYSTEMD_RUN)
    programs.add("xdg-open", "")
    programs.add_client("matrix", "nheko.desktop")
    return programs


async def test_the_client_for_matrix_addresses_opens_the_event(programs: Programs) -> None:
    assert await RoomOpener().open(ROOM, EVENT, None)
    assert programs.started() == ["xdg-open matrix:roomid/room:example.org/e/event"]


async def test_element_is_next_and_the_web_is_last(programs: Programs) -> None:
    programs.add_client("element", "element-desktop.desktop")
    assert await RoomOpener().open(ROOM, EVENT, None)
    programs.add("xdg-mime", "exit 1")
    assert await RoomOpener().open(ROOM, None, None)
    assert programs.started() == [
        "xdg-open element://vector/webapp/#/room/!room:example.org/$event",
        "xdg-open https://matrix.to/#/!room:example.org",
    ]


@pytest.mark.parametrize(
    ("open_with", "start"), [("matrix", "matrix:"), ("element", "element:"), ("matrix.to", "https://matrix.to/")]
)
async def test_a_configured_one_is_not_asked_about(programs: Programs, open_with: str, start: str) -> None:
    assert await RoomOpener(open_with).open(ROOM, EVENT, None)
    (call,) = programs.started()
    assert call.startswith(f"xdg-open {start}")
    assert not any(call.startswith("xdg-mime") for call in programs.calls())


def add_entry(home: Home, name: str, schemes: str = "") -> Path:
    folder = home.data / "applications"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"[Desktop Entry]\nMimeType={schemes}\n")
    return folder / name


@pytest.mark.parametrize(
    ("schemes", "uri"),
    [
        ("x-scheme-handler/matrix;", "matrix:roomid/room:example.org/e/event"),
        ("x-scheme-handler/element;x-scheme-handler/matrix;", "matrix:roomid/room:example.org/e/event"),
        ("x-scheme-handler/element;", "element://vector/webapp/#/room/!room:example.org/$event"),
        ("", "matrix:roomid/room:example.org/e/event"),
    ],
)
async def test_a_client_can_be_chosen_by_its_desktop_entry(
    programs: Programs, home: Home, schemes: str, uri: str
) -> None:
    programs.add("gio", "")
    entry = add_entry(home, "org.example.Client.desktop", schemes)
    assert await RoomOpener("org.example.Client.desktop").open(ROOM, EVENT, "token")
    assert await RoomOpener("org.example.Client.desktop").open(None, None, None)
    assert programs.started() == [f"gio launch {entry} {uri} token", f"gio launch {entry}"]


@pytest.mark.expected_log(r"There is no desktop entry org\.example\.Client\.desktop, with which rooms")
async def test_a_chosen_client_that_is_not_installed_opens_nothing(programs: Programs) -> None:
    programs.add("gio", "")
    assert not await RoomOpener("org.example.Client.desktop").open(ROOM, EVENT, None)
    assert programs.calls() == []


async def test_a_chosen_client_gets_no_uri_made_of_what_is_no_room_id(programs: Programs, home: Home) -> None:
    programs.add("gio", "")
    add_entry(home, "client.desktop")
    assert not await RoomOpener("client.desktop").open(RoomId("--help"), EVENT, None)
    assert programs.calls() == []


@pytest.mark.parametrize("open_with", ["rm -rf", "../../evil.desktop", "--version.desktop", "a b.desktop"])
def test_an_unknown_one_is_a_mistake_in_the_configuration(open_with: str) -> None:
    with pytest.raises(UserError, match="cannot be opened with"):
        RoomOpener(open_with)


@pytest.mark.parametrize(
    ("desktop", "has_tool"), [("LXQt", False), ("lxqt:Qt", False), ("LXQt", True), ("XFCE", False)]
)
async def test_on_lxqt_without_its_tools_rooms_are_opened_all_the_same(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, desktop: str, has_tool: bool
) -> None:
    monkeypatch.setenv("XDG_CURRENT_DESKTOP", desktop)
    programs.add("gio", 'if [ "$1" = mime ]; then echo "Default application for "$2": nheko.desktop"; fi')
    if has_tool:
        programs.add("qtxdg-mat", "")
    assert await RoomOpener().open(ROOM, EVENT, None)
    uri = "matrix:roomid/room:example.org/e/event"
    is_lacking = "lxqt" in desktop.lower() and not has_tool
    assert programs.started()[-1] == (f"gio open {uri}" if is_lacking else f"xdg-open {uri}")


async def test_another_choice_is_used_from_then_on_unless_it_is_a_mistake(programs: Programs) -> None:
    opener = RoomOpener("element")
    opener.use("matrix.to")
    with pytest.raises(UserError, match="cannot be opened with"):
        opener.use("rm -rf")
    assert await opener.open(ROOM, None, None)
    assert programs.started() == ["xdg-open https://matrix.to/#/!room:example.org"]


async def test_the_client_runs_outside_our_sandbox_and_outlives_xdg_open(programs: Programs) -> None:
    await RoomOpener().open(ROOM, EVENT, None)
    (call,) = [call for call in programs.calls() if call.startswith("systemd-run")]
    assert call.startswith(
        "systemd-run --user --collect --quiet --property=Type=exec --property=KillMode=process -- xdg-open matrix:"
    )


async def test_the_client_gets_the_activation_token(programs: Programs) -> None:
    await RoomOpener().open(ROOM, EVENT, "wayland-token-1")
    assert programs.started()[0].endswith(" wayland-token-1")


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "é", "x" * 10_000])
async def test_what_is_no_token_is_left_out(programs: Programs, token: str) -> None:
    assert await RoomOpener().open(ROOM, EVENT, token)
    assert programs.started() == ["xdg-open matrix:roomid/room:example.org/e/event"]


@pytest.mark.parametrize("room_id", ["--help", "-x", "", "file:///etc/passwd", "!a b:example.org", "!x:$(reboot)"])
async def test_nothing_is_started_for_what_is_no_room_id(programs: Programs, room_id: RoomId) -> None:
    assert not await RoomOpener("matrix").open(room_id, EVENT, None)
    assert programs.calls() == []


@pytest.mark.parametrize("answer", ["--help.desktop", "../../evil.desktop", "a b.desktop", "'$(reboot)'", ""])
async def test_an_odd_answer_about_the_client_is_no_client(programs: Programs, answer: str) -> None:
    programs.add("xdg-mime", f"echo {answer}")
    assert await RoomOpener().open(ROOM, None, None)
    assert programs.started() == ["xdg-open https://matrix.to/#/!room:example.org"]


async def test_without_a_service_manager_gio_opens_it(programs: Programs) -> None:
    programs.add("systemd-run", "exit 1")
    programs.add("gio", "")
    assert await RoomOpener().open(ROOM, EVENT, "token")
    assert programs.started() == ["gio open matrix:roomid/room:example.org/e/event token"]


async def test_without_gio_it_is_xdg_open_in_a_session_of_its_own(programs: Programs) -> None:
    (programs.folder / "systemd-run").unlink()
    (programs.folder / "setsid").symlink_to("/usr/bin/setsid")
    programs.add("xdg-open", "exec /bin/sleep 2")
    assert await RoomOpener().open(ROOM, EVENT, "token")
    await until(lambda: programs.started() == ["xdg-open matrix:roomid/room:example.org/e/event token"])


async def test_with_nothing_to_open_it_with_it_says_so(programs: Programs) -> None:
    for name in ("systemd-run", "xdg-open", "xdg-mime"):
        (programs.folder / name).unlink()
    assert not await RoomOpener().open(ROOM, EVENT, None)


async def test_a_query_that_hangs_is_given_up(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.add("xdg-mime", "/bin/sleep 30 & exec /bin/sleep 30")
    assert await RoomOpener(timeout_s=0.2).open(ROOM, None, None)
    assert programs.started() == ["xdg-open https://matrix.to/#/!room:example.org"]


async def test_without_a_room_the_client_is_opened_as_it_is(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tmp_path / "data" / "applications" / "nheko.desktop"
    entry.parent.mkdir(parents=True)
    entry.touch()
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "data"))
    programs.add("gio", "")
    for open_with in ("auto", "matrix"):
        assert await RoomOpener(open_with).open(None, None, None)
    assert programs.started() == [f"gio launch {entry}"] * 2


async def test_without_a_room_or_a_client_nothing_is_opened(programs: Programs) -> None:
    assert not await RoomOpener("matrix.to").open(None, None, None)
    assert not await RoomOpener("matrix").open(None, None, None)
    assert programs.started() == []
