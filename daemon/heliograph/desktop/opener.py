"""Opens a room in the user's Matrix client.

The daemon may be sandboxed by its unit. Whatever it starts inherits that sandbox, cannot write to the home folder, and
does not run at all if it is made with Electron. So clients are started by the user's service manager (systemd-run), and
only where there is none as children of the daemon.
Test: test_the_client_runs_outside_our_sandbox_and_outlives_xdg_open.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from heliograph.core.ids import EventId, RoomId
from heliograph.core.room_uri import AddressForm, room_uri
from heliograph.desktop.identity import data_folders
from heliograph.errors import EXIT_CONFIG, UserError
from heliograph.system.processes import run_program

log = logging.getLogger(__name__)

OPEN_WITH = ("auto", *(form.value for form in AddressForm))

_QUERY_TIMEOUT_S = 3.0
_LAUNCH_TIMEOUT_S = 5.0

_LARGEST_ENTRY = 64 * 1024

_DESKTOP_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}\.desktop")
_TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
_SESSION_VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_CURRENT_DESKTOP")


class RoomOpener:
    """`ports.Opener`: by the client that is registered for `matrix:`, else for `element:`, else by matrix.to; or by the
    one whose desktop entry is named."""

    def __init__(self, open_with: str = "auto", *, timeout_s: float = _QUERY_TIMEOUT_S) -> None:
        self._chosen, self._form = _read_choice(open_with)
        self._timeout_s = timeout_s

    def use(self, open_with: str) -> None:
        """Opens rooms as this setting says from now on. Raises UserError, and goes on as before then."""
        self._chosen, self._form = _read_choice(open_with)

    async def open(self, room_id: RoomId | None, event_id: EventId | None, token: str | None) -> bool:
        """Returns whether a client was started. Without a room the client is opened as it is, if there is one."""
        environment = _activation(token)
        if self._chosen is not None:
            return await self._open_chosen(self._chosen, room_id, event_id, environment)
        form, client = (self._form, None) if self._form else await self._find_client()
        if room_id is None:
            if client is None and form in (AddressForm.MATRIX, AddressForm.ELEMENT):
                client = await self._handler_of(form)
            path = None if client is None else await asyncio.to_thread(_desktop_file, client)
            return path is not None and await _launch(["gio", "launch", str(path)], environment)
        uri = room_uri(form, room_id, event_id)
        if uri is None:
            log.debug("A room cannot be opened, for its id is malformed")
            return False
        return await _launch([*await _opener(), uri], environment)

    async def _open_chosen(
        self, desktop_id: str, room_id: RoomId | None, event_id: EventId | None, environment: Mapping[str, str]
    ) -> bool:
        entry = await asyncio.to_thread(_desktop_file, desktop_id)
        if entry is None:
            log.warning("There is no desktop entry %s, with which rooms are to be opened", desktop_id)
            return False
        if room_id is None:
            return await _launch(["gio", "launch", str(entry)], environment)
        uri = room_uri(await asyncio.to_thread(_form_for, entry), room_id, event_id)
        return uri is not None and await _launch(["gio", "launch", str(entry), uri], environment)

    async def _find_client(self) -> tuple[AddressForm, str | None]:
        for form in (AddressForm.MATRIX, AddressForm.ELEMENT):
            if client := await self._handler_of(form):
                return form, client
        return AddressForm.MATRIX_TO, None

    async def _handler_of(self, form: AddressForm) -> str | None:
        """The id of the desktop entry that handles addresses of this form."""
        kind = f"x-scheme-handler/{form.value}"
        is_lacking = await asyncio.to_thread(_lacks_xdg)
        query = ["gio", "mime", kind] if is_lacking else ["xdg-mime", "query", "default", kind]
        code, output = await _run(query, self._timeout_s, {}, output=asyncio.subprocess.PIPE)
        answer = output.decode(errors="replace").strip()
        if is_lacking:
            # gio writes lines for people, in their language: the first ends with a colon and the id.
            answer = answer.partition("\n")[0].rpartition(": ")[2]
        return answer if code == 0 and _DESKTOP_ID.fullmatch(answer) else None


def _read_choice(open_with: str) -> tuple[str | None, AddressForm | None]:
    """The desktop entry, or the form of address, that the setting `open_with` names; neither: the first that works."""
    if open_with in {form.value for form in AddressForm}:
        return None, AddressForm(open_with)
    if open_with in OPEN_WITH:
        return None, None
    if _DESKTOP_ID.fullmatch(open_with):
        return open_with, None
    raise UserError(
        f"Rooms cannot be opened with {open_with!r}",
        f"Use one of {', '.join(OPEN_WITH)}, or the name of your client's desktop entry, like nheko.desktop.",
        exit_code=EXIT_CONFIG,
    )


async def open_file(file: Path, token: str | None) -> bool:
    """Opens a file in the program that is registered for files of its kind. `token`: the activation token of a click.
    Returns whether a program was started."""
    return await _launch([*await _opener(), str(file)], _activation(token))


async def _opener() -> tuple[str, ...]:
    """The command that opens an address or a file."""
    return ("gio", "open") if await asyncio.to_thread(_lacks_xdg) else ("xdg-open",)


def _lacks_xdg() -> bool:
    """True where xdg-open and xdg-mime refuse: on LXQt they ask qtxdg-mat, which distributions have in another package.
    Test: test_on_lxqt_without_its_tools_rooms_are_opened_all_the_same."""
    is_lxqt = "lxqt" in os.environ.get("XDG_CURRENT_DESKTOP", "").lower().split(":")
    return is_lxqt and shutil.which("qtxdg-mat") is None and shutil.which("gio") is not None


def _desktop_file(desktop_id: str) -> Path | None:
    paths = (folder / "applications" / desktop_id for folder in data_folders())
    return next((path for path in paths if path.is_file()), None)


def _form_for(entry: Path) -> AddressForm:
    """The form of address that this client's desktop entry names; `matrix:` if it names none."""
    try:
        with entry.open("rb") as stream:
            text = stream.read(_LARGEST_ENTRY)
    except OSError:
        return AddressForm.MATRIX
    schemes = re.findall(rb"x-scheme-handler/([a-z.]+)", text)
    return AddressForm.ELEMENT if b"element" in schemes and b"matrix" not in schemes else AddressForm.MATRIX


def _activation(token: str | None) -> dict[str, str]:
    if token is None or not _TOKEN.fullmatch(token):
        return {}
    # The second name is the one of X11, by the Startup Notification specification.
    return {"XDG_ACTIVATION_TOKEN": token, "DESKTOP_STARTUP_ID": token}


async def _launch(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Starts a command that outlives the daemon. No word of it comes from strangers but the last, which starts with a
    scheme or with "/", so that it is never taken for an option."""
    programs = {name for name in (command[0], "systemd-run") if await asyncio.to_thread(shutil.which, name)}
    if command[0] in programs and "systemd-run" in programs:
        # The service manager may have been started before the display, and not know these.
        session = {name: os.environ[name] for name in _SESSION_VARIABLES if os.environ.get(name)}
        settings = [f"--setenv={name}={value}" for name, value in (session | dict(environment)).items()]
        # Type=exec: it says so if the command does not start. KillMode=process: xdg-open ends before its client does.
        unit = ["--user", "--collect", "--quiet", "--property=Type=exec", "--property=KillMode=process", *settings]
        if await _succeeds(["systemd-run", *unit, "--", *command], environment):
            return True
        log.debug("The user's service manager did not start %s", command[0])
    # Unlike xdg-open it needs no display variable and does not wait for the client to end.
    if command[0] == "xdg-open" and await _succeeds(["gio", "open", command[-1]], environment):
        return True
    return command[0] in programs and await _succeeds(["setsid", "--fork", *command], environment)


async def _succeeds(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    # No pipe: the client would inherit it and hold it open.
    code, _ = await _run(command, _LAUNCH_TIMEOUT_S, environment, output=asyncio.subprocess.DEVNULL)
    return code == 0


async def _run(
    command: Sequence[str], timeout_s: float, environment: Mapping[str, str], *, output: int
) -> tuple[int | None, bytes]:
    """The exit status, and what the program wrote; no status if it could not be started or did not end in time."""
    try:
        return await run_program(command, timeout_s, environment, output=output)
    except OSError as error:
        log.debug("%s could not be started: %s", command[0], error.strerror)
        return None, b""
