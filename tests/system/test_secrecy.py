"""What nobody but the user may learn: secrets are kept in one place, and texts not longer than needed."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Home, NewUser
from fakes.notification_server import NotificationServer
from support.auth_server.server import AuthServer
from support.waiting import until
from system.command import heliograph, log_in
from system.daemon import Daemon
from system.evidence import PATIENCE_S, rung
from system.person import Desktop, Person

DEBUG = '[log]\nlevel = "debug"\n'
SAID = "meet me at the old mill"


@pytest.fixture
def careless_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless_umask")
async def test_secrets_are_in_the_secrets_alone_and_what_is_written_is_the_users_alone(
    new_user: NewUser, screen: NotificationServer, home: Home
) -> None:
    me, alice = await new_user("me"), await new_user("alice")
    room = await alice.create_room(invite=[me], is_direct=True)
    await me.join(room)
    (home.config / "heliograph").mkdir(mode=0o700)
    (home.config / "heliograph/config.toml").write_text(DEBUG)
    signed_in = await log_in(me)
    assert signed_in.code == 0
    (kept,) = home.state.rglob("secret.json")
    secrets = {me.password, *_texts(json.loads(kept.read_text()))}
    assert len(secrets) >= 3, "a password, a token and a pickle key at least"

    async with Daemon() as daemon:
        event = await alice.send_text(room, SAID)
        await rung(screen, SAID)
        status = await heliograph("status", "--json")
        process = Path("/proc") / str(daemon.pid)
        arguments = (process / "cmdline").read_bytes().decode(errors="replace")
        said = [signed_in.output, signed_in.errors, status.output, status.errors, daemon.log, arguments]
        limits = (process / "limits").read_text().splitlines()
        assert [line.split()[4] for line in limits if line.startswith("Max core file size")] == ["0"]
        await me.read(room, event)
        await until(lambda: SAID.encode() not in _everything(home), "the text to be erased", 30)
        written = _everything(home, without=kept)
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in _ours(home)}
        log = daemon.log

    assert SAID not in log
    for secret in secrets:
        assert secret not in "".join(said)
        assert secret not in log
        assert secret.encode() not in written
    assert {path: mode for path, mode in modes.items() if mode & 0o077 and path.name != "config.toml"} == {}


@pytest.mark.usefixtures("careless_umask")
@pytest.mark.expected_log("homeserver 401 ", times=(0, None))
@pytest.mark.expected_log("@(eve|finn):localhost: ", times=(0, None))
async def test_tokens_codes_and_verifiers_of_oauth_are_readable_nowhere(
    auth_server: AuthServer,
    screen: NotificationServer,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even in the file that keeps the tokens, which is sealed."""
    eve, finn = Person(auth_server, "eve"), Person(auth_server, "finn")
    Desktop(tmp_path, monkeypatch).sign_in_as(eve)
    (home.config / "heliograph").mkdir(mode=0o700)
    (home.config / "heliograph/config.toml").write_text(DEBUG)
    auth_server.sessions.ttl_s = 3
    login = asyncio.create_task(finn.log_in("--device-code"))
    code = await until(lambda: next((each for each in auth_server.oauth.codes.values() if each.user_code), None))
    code.localpart = "finn"
    ended = [await eve.log_in(), await login]
    assert [each.code for each in ended] == [0, 0], ended

    async with Daemon() as daemon:
        for fault in ("lose", "html400", "503"):
            auth_server.fail("token", fault)
        wanted = auth_server.sessions.refreshes + 4
        await until(lambda: auth_server.sessions.refreshes >= wanted, "renewals", PATIENCE_S)
        for words in (
            ("status", "--json"),
            ("accounts", "--json"),
            ("doctor",),
            ("pushers", "list", "--account", eve.user_id),
        ):
            ended.append(await heliograph(*words))
        process = Path("/proc") / str(daemon.pid)
        held = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        written = _everything(home)
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in _ours(home)}
        assert await daemon.stop() == 0
        ended += [await heliograph("logout", person.user_id) for person in (eve, finn)]
        said = daemon.log + "".join(each.output + each.errors for each in ended)

    assert auth_server.sessions.of("eve") == auth_server.sessions.of("finn") == []
    assert len(auth_server.oauth.seen) >= 3, "a code, its verifier and a device code at least"
    secrets = {eve.password, finn.password, *auth_server.secrets_seen}
    assert [secret for secret in secrets if secret in said or secret.encode() in written + held] == []
    assert {path: mode for path, mode in modes.items() if mode & 0o077 and path.name != "config.toml"} == {}


@pytest.mark.root
async def test_the_environment_holds_no_secret_for_those_who_may_look(new_user: NewUser, home: Home) -> None:
    """That is root: the daemon closes its environment to its own user's other programs."""
    me = await new_user("me")
    assert (await log_in(me)).code == 0
    (kept,) = home.state.rglob("secret.json")
    secrets = {me.password, *_texts(json.loads(kept.read_text()))}

    async with Daemon() as daemon:
        environment = await asyncio.to_thread(Path(f"/proc/{daemon.pid}/environ").read_text, errors="replace")

    assert f"HOME={home.path}" in environment
    assert [secret for secret in secrets if secret in environment] == []


def _texts(value: object) -> Iterator[str]:
    """Every text in it that is long enough to be a secret."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, str) and len(value) > 12:
        yield value


def _ours(home: Home) -> list[Path]:
    folders = [place / "heliograph" for place in (home.config, home.state, home.cache)]
    return [path for folder in folders if folder.exists() for path in (folder, *folder.rglob("*"))]


def _everything(home: Home, without: Path | None = None) -> bytes:
    """All that is in our files."""
    return b"".join(path.read_bytes() for path in _ours(home) if path.is_file() and path != without)
