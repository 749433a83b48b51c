"""The whole daemon in this process, but for the desktop: real stores, real HTTP, several accounts, every ending."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from nio.crypto import OutboundGroupSession  # type: ignore[import-untyped]

from fakes.desktop import FakeDesktop
from fakes.secret_store import FakeSecretStore
from heliograph.accounts import Account, find_account, save_account, state_folder
from heliograph.app import account as account_run
from heliograph.app import daemon, keyring_wait
from heliograph.app.account import AccountRun
from heliograph.config.settings import Config, HooksConfig
from heliograph.core.connection import Connection
from heliograph.core.encryption.values import MEGOLM
from heliograph.core.ids import UserId
from heliograph.core.pushers.handoff import Signs
from heliograph.core.status import AccountStatus, DaemonStatus
from heliograph.encryption.olm.machine import Machine
from heliograph.errors import EXIT_CONFIG, EXIT_NEEDS_LOGIN, EXIT_OK, StateError
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret
from heliograph.secrets.secret_bus import KeyringSilent
from heliograph.store.ledger import SqliteLedger
from heliograph.store.sign_out_file import SignOut, note_sign_out, sign_out_of
from support.builders import ME, ROOM
from support.buses import PrivateBus
from support.hostile_homeserver import HostileHomeserver, message, never, refusal
from support.waiting import until

OTHER = UserId("@other:example.org")
SIGN_OUT_INTERVAL_S = 0.2


@dataclass
class Stage:
    desktop: FakeDesktop = field(default_factory=FakeDesktop)
    accounts: list[Account] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    servers: list[HostileHomeserver] = field(default_factory=list)
    statuses: list[Callable[[], DaemonStatus]] = field(default_factory=list)
    """Of the daemons that were started."""

    async def add(self, user_id: str = ME, *, has_secret: bool = True) -> HostileHomeserver:
        """An account on a homeserver of its own."""
        server = HostileHomeserver(user_id)
        await server.start()
        self.servers.append(server)
        account = Account(user_id=UserId(user_id), device_id="D", homeserver=server.url, secrets="file", pushkey="key")
        await asyncio.to_thread(save_account, account)
        if has_secret:
            await open_secrets("file").save(user_id, Secret(access_token="token", pickle_key="test").encode())
        self.accounts.append(account)
        return server

    @contextlib.asynccontextmanager
    async def running(self, config: Config | None = None) -> AsyncIterator[asyncio.Task[int]]:
        running = daemon.run_daemon(
            config or Config(),
            self.accounts,
            desktop=self.desktop,
            stop=self.stop,
            on_ready=self.statuses.append,
            sign_out_interval_s=SIGN_OUT_INTERVAL_S,
        )
        task = asyncio.create_task(running)
        try:
            yield task
        finally:
            self.stop.set()
            await asyncio.wait([task])

    @property
    def status(self) -> DaemonStatus:
        """Of the daemon that was started last, as of now."""
        return self.statuses[-1]()

    def account(self, user_id: str = ME) -> AccountStatus:
        """One account's part of it."""
        return next(each for each in self.status.accounts if each.user_id == user_id)

    @property
    def summaries(self) -> list[str]:
        return [each.notification.summary for each in self.desktop.shown]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    for server in stage.servers:
        await server.stop()


async def polls(server: HostileHomeserver) -> None:
    await until(lambda: len(server.sinces) >= 3, "a poll")


async def test_a_message_rings_and_stopping_is_clean(stage: Stage) -> None:
    server = await stage.add()
    async with stage.running() as task:
        await polls(server)
        server.give(server.sync(message("hello")))
        await until(lambda: stage.desktop.bodies)
        stage.stop.set()
        assert await asyncio.wait_for(task, 10) == EXIT_OK
    assert "hello" in stage.desktop.bodies[0]


class AskingKeyring:
    """Asks its user, who takes the time that `opened` takes."""

    name = "keyring"

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.on_prompt: Callable[[], None] = lambda: None

    def open(self, kind: str, *, on_prompt: Callable[[], None]) -> AskingKeyring:
        self.on_prompt = on_prompt
        return self

    async def load(self, user_id: str) -> str | None:
        self.on_prompt()
        await self.opened.wait()
        return await open_secrets("file").load(user_id)

    async def wait_unlocked(self, user_id: str) -> None:
        raise AssertionError("it is not locked")

    async def save(self, user_id: str, secret: str) -> None:
        raise AssertionError("nothing is saved")

    async def delete(self, user_id: str) -> None:
        raise AssertionError("nothing is deleted")


@pytest.mark.expected_log("The keyring asks to be unlocked: @me:example.org waits for it")
async def test_a_keyring_that_asks_its_user_is_told_of_from_the_question_to_the_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server = await stage.add()
    async with stage.running():
        await polls(server)
    stage.stop.clear()
    keyring = AskingKeyring()
    monkeypatch.setattr(account_run, "open_secrets", keyring.open)
    async with stage.running():
        await until(lambda: len(stage.statuses) == 2, "the second start")
        await until(lambda: stage.account().connection.state is Connection.WAITING_FOR_KEYRING, "the question")
        assert (
            stage.account().connection.why == "the keyring asks to be unlocked: type its password where it asks for it"
        )
        assert stage.account().last_sync_ms is not None, "it is of the run before"
        assert f"The keyring asks to be unlocked: {ME} waits for it" in caplog.messages
        keyring.opened.set()
        await until(lambda: stage.account().connection.state is Connection.CONNECTED, "the connection")
        assert stage.account().connection.why == ""
        assert f"The keyring is open: {ME} goes on" in caplog.messages
    assert stage.summaries == [], "the keyring's own question is on screen"


async def test_a_program_of_the_users_own_is_run_for_a_message(stage: Stage, tmp_path: Path) -> None:
    server = await stage.add()
    told = tmp_path / "told"
    command = ("sh", "-c", f'printf %s "$HELIOGRAPH_ACCOUNT: $HELIOGRAPH_TEXT" >{told}.new; mv {told}.new {told}')
    async with stage.running(Config(hooks=HooksConfig(on_notification=command))):
        await polls(server)
        server.give(server.sync(message("hello")))
        await until(told.exists)
    assert told.read_text() == f"{ME}: hello"


async def known_sign_out() -> SignOut | None:
    account = await asyncio.to_thread(find_account, ME)
    assert account is not None
    return await asyncio.to_thread(sign_out_of, account)


async def known(request: web.Request) -> web.StreamResponse:
    return web.json_response({"user_id": ME, "device_id": "D"})


def sign_out(server: HostileHomeserver, *, is_soft: bool = False) -> None:
    """From now on the homeserver does not know the access token."""
    server.answers_all = refusal(401, "M_UNKNOWN_TOKEN", soft_logout=is_soft)
    server.give(server.answers_all)


def keys_of(user_id: str = ME) -> dict[str, bytes]:
    """What is kept of the device's keys, by path in the account's folder."""
    folder = state_folder(user_id)
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.glob("**/crypto.db")}


@pytest.mark.expected_log("checking whether @me:example.org was signed out")
@pytest.mark.expected_log("took @me:example.org for signed out")
async def test_one_wrong_answer_about_the_token_costs_nothing(stage: Stage) -> None:
    server = await stage.add()
    server.answers_to["v3/account/whoami"] = known
    async with stage.running() as task:
        await polls(server)
        server.give(refusal(401, "M_UNKNOWN_TOKEN"))
        server.give(server.sync(message("hello")))
        await until(lambda: stage.desktop.bodies)
        assert not task.done()
        assert list(keys_of()) == ["crypto.db"]


@pytest.mark.expected_log("@me:example.org was signed out", times=4)
async def test_keys_of_a_signed_out_device_are_set_aside_and_back_in_use_if_that_was_wrong(stage: Stage) -> None:
    server = await stage.add()
    async with stage.running() as task:
        await polls(server)
        sign_out(server)
        assert await asyncio.wait_for(task, 10) == EXIT_CONFIG
    ((place, kept),) = keys_of().items()
    assert place.startswith("signed-out-")
    # Started again, it is told the same.
    stage.stop.clear()
    async with stage.running() as task:
        assert await asyncio.wait_for(task, 10) == EXIT_CONFIG
    assert list(keys_of()) == [place], "their day began with the first time"
    server.answers_all = None
    stage.stop.clear()
    async with stage.running():
        await polls(server)
        server.give(server.sync(message("hello")))
        await until(lambda: any("hello" in body for body in stage.desktop.bodies))
        assert list(keys_of()) == ["crypto.db"]
    assert len(keys_of()["crypto.db"]) >= len(kept)


async def test_keys_that_were_set_aside_are_destroyed_after_a_day_also_of_other_accounts(stage: Stage) -> None:
    await stage.add()
    aside = state_folder(OTHER) / "signed-out-1700000000000-0123456789abcdef"
    aside.mkdir(parents=True)
    for name in ("crypto.db", "crypto.db-wal"):
        (aside / name).write_bytes(b"keys")
    async with stage.running():
        await polls(stage.servers[0])
    assert not aside.exists()


@pytest.mark.expected_log("@me:example.org was signed out", times=2)
@pytest.mark.parametrize(
    ("is_soft", "code", "summary"),
    [
        (True, EXIT_NEEDS_LOGIN, "Sign in again to get messages"),
        (False, EXIT_CONFIG, "Signed out: no more notifications"),
    ],
)
async def test_being_signed_out_is_told_once_and_ends_the_daemon(
    stage: Stage, is_soft: bool, code: int, summary: str
) -> None:
    server = await stage.add()
    async with stage.running() as task:
        await polls(server)
        sign_out(server, is_soft=is_soft)
        assert await asyncio.wait_for(task, 10) == code
    assert stage.summaries == [summary]
    assert await known_sign_out() is (SignOut.SOFTLY if is_soft else SignOut.FOR_GOOD)


@pytest.mark.expected_log("@me:example.org was signed out", times=2)
async def test_who_is_signed_out_since_the_homeserver_moved_to_oauth_keeps_the_keys_and_is_told_once(
    stage: Stage,
) -> None:
    server = await stage.add()
    refuse = refusal(401, "M_UNKNOWN_TOKEN")

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/auth_metadata"):
            return web.json_response({"issuer": server.url, "token_endpoint": f"{server.url}/token"})
        return await refuse(request)

    async with stage.running() as task:
        await polls(server)
        server.answers_all = answer
        server.give(answer)
        assert await asyncio.wait_for(task, 10) == EXIT_NEEDS_LOGIN
    assert stage.summaries == ["Sign in again to get messages"]
    assert "OAuth 2.0" in stage.desktop.bodies[0]
    assert f"heliograph login {ME}" in stage.desktop.bodies[0]
    assert await known_sign_out() is SignOut.SOFTLY
    assert list(keys_of()) == ["crypto.db"]


async def test_a_device_that_is_answered_after_all_is_signed_out_no_longer(stage: Stage) -> None:
    server = await stage.add()
    account = await asyncio.to_thread(find_account, ME)
    assert account is not None
    await asyncio.to_thread(note_sign_out, account, SignOut.FOR_GOOD)
    async with stage.running():
        await polls(server)
        for _ in range(200):
            if await known_sign_out() is None:
                return
            await asyncio.sleep(0.05)
    raise AssertionError("it still counts as signed out")


@pytest.mark.expected_log("@me:example.org was signed out", times=2)
async def test_an_account_that_ends_leaves_the_others_running(stage: Stage) -> None:
    server, other = await stage.add(), await stage.add(OTHER)
    async with stage.running() as task:
        await polls(server)
        await polls(other)
        sign_out(server)
        await until(lambda: stage.summaries)
        other.give(other.sync(message("still here")))
        await until(lambda: any("still here" in body for body in stage.desktop.bodies))
        assert not task.done()


async def test_an_account_whose_homeserver_never_answers_holds_up_nobody(stage: Stage) -> None:
    silent, other = await stage.add(), await stage.add(OTHER)
    silent.answers_all = never
    async with stage.running() as task:
        await polls(other)
        other.give(other.sync(message("hello")))
        await until(lambda: stage.desktop.bodies)
        stage.stop.set()
        assert await asyncio.wait_for(task, 10) == EXIT_OK
    assert silent.requests == 1


@pytest.mark.expected_log("The access token of @me:example.org is gone from the file")
async def test_a_token_that_is_gone_asks_for_a_login(stage: Stage) -> None:
    server = await stage.add(has_secret=False)
    async with stage.running() as task:
        assert await asyncio.wait_for(task, 10) == EXIT_NEEDS_LOGIN
    assert "access token" in stage.summaries[0]
    assert server.requests == 0


@pytest.mark.expected_log("The keyring is locked", times=2)
async def test_a_locked_keyring_is_told_until_it_is_unlocked_and_anew_the_next_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await stage.add()
    store = FakeSecretStore(**{ME: Secret(access_token="token", pickle_key="test").encode()})
    monkeypatch.setattr(account_run, "open_secrets", lambda kind, **_: store)
    for _ in range(2):
        store.lock()
        stage.stop.clear()
        async with stage.running():
            await until(lambda: stage.desktop.on_screen, "the notice")
            assert stage.summaries[-1] == "The keyring is locked"
            store.unlock()
            await until(lambda: not stage.desktop.on_screen, "the notice to go")
            await polls(server)


@pytest.mark.expected_log("The keyring is locked")
async def test_a_keyring_whose_question_was_dismissed_asks_again_by_the_button(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await stage.add()
    store = FakeSecretStore(**{ME: Secret(access_token="token", pickle_key="test").encode()})
    store.lock()
    monkeypatch.setattr(account_run, "open_secrets", lambda kind, **_: store)
    async with stage.running():
        for asked in (1, 2):
            await until(lambda: stage.desktop.on_screen, "the notice")
            assert stage.summaries[-1] == "The keyring is locked"
            assert store.asked == asked
            stage.desktop.press(keyring_wait.UNLOCK)
            await until(lambda asked=asked: store.asked > asked, "another question")  # type: ignore[misc]
        store.unlock()
        await polls(server)
        await until(lambda: not stage.desktop.on_screen, "the notice to go")


class HungKeyring(FakeSecretStore):
    """Answers nothing while it hangs; it asks nobody, and says to nobody when it works again."""

    def __init__(self, **secrets: str) -> None:
        super().__init__(**secrets)
        self.hangs = True

    async def load(self, user_id: str) -> str | None:
        if self.hangs:
            self.asked += 1
            raise KeyringSilent("The keyring did not answer within 10 seconds (SearchItems).")
        return await super().load(user_id)

    async def wait_unlocked(self, user_id: str) -> None:
        if self.hangs:
            raise KeyringSilent("The keyring did not answer within 10 seconds (SearchItems).")
        await super().wait_unlocked(user_id)


@pytest.mark.expected_log("The keyring (did not|does not) answer", times=(1, None))
async def test_a_keyring_that_hangs_is_waited_for_and_told_until_it_answers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await stage.add()
    store = HungKeyring(**{ME: Secret(access_token="token", pickle_key="test").encode()})
    monkeypatch.setattr(account_run, "open_secrets", lambda kind, **_: store)
    async with stage.running() as task:
        await until(lambda: stage.desktop.on_screen, "the notice")
        assert stage.summaries == ["The keyring does not answer"]
        assert stage.account().connection.state is Connection.WAITING_FOR_KEYRING
        assert "does not answer: unlock it if it asks for its password" in stage.account().connection.why
        await until(lambda: store.asked > 1, "another try")
        assert not task.done()
        store.hangs = False
        await polls(server)
        await until(lambda: not stage.desktop.on_screen, "the notice to go")
        assert stage.account().connection.why == ""


@pytest.mark.expected_log("The keyring is locked")
@pytest.mark.expected_log("The keyring (did not|does not) answer", times=(1, None))
async def test_a_locked_keyring_that_hangs_meanwhile_is_waited_for_as_well(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await stage.add()
    store = HungKeyring(**{ME: Secret(access_token="token", pickle_key="test").encode()})
    store.hangs = False
    store.lock()
    monkeypatch.setattr(account_run, "open_secrets", lambda kind, **_: store)
    wait_unlocked = store.wait_unlocked

    async def hang(user_id: str) -> None:
        store.hangs = True
        await wait_unlocked(user_id)

    monkeypatch.setattr(store, "wait_unlocked", hang)
    async with stage.running():
        await until(lambda: "The keyring does not answer" in stage.summaries, "the notice")
        store.hangs = False
        store.unlock()
        await polls(server)


async def test_a_keyring_that_takes_its_time_is_told_of_in_the_status(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be asking its user, and tell nobody."""
    server = await stage.add()
    keyring = AskingKeyring()
    monkeypatch.setattr(keyring_wait, "SILENT_S", 0.01)
    monkeypatch.setattr(account_run, "open_secrets", lambda kind, **_: keyring)
    async with stage.running():
        await until(lambda: stage.statuses, "the start")
        await until(lambda: stage.account().connection.state is Connection.WAITING_FOR_KEYRING, "a word in the status")
        assert "unlock it if it asks for its password" in stage.account().connection.why
        keyring.opened.set()
        await polls(server)
    assert stage.summaries == []


@pytest.mark.expected_log("@me:example.org cannot run")
async def test_a_second_daemon_is_told_of_the_first(stage: Stage) -> None:
    server = await stage.add()
    async with stage.running():
        await polls(server)
        with pytest.raises(StateError, match="already runs"):
            await daemon.run_daemon(Config(), stage.accounts, desktop=FakeDesktop(), stop=asyncio.Event())


def spoil_version() -> None:
    with contextlib.closing(sqlite3.connect(state_folder(ME) / "ledger.db")) as db:
        db.execute("PRAGMA user_version = 999")


def spoil_bytes() -> None:
    (state_folder(ME) / "ledger.db").write_bytes(b"not a database at all, " * 1000)


SPOILS: list[tuple[Callable[[], None], str]] = [(spoil_version, "newer Heliograph"), (spoil_bytes, "damaged")]


@pytest.mark.expected_log("@me:example.org cannot run")
@pytest.mark.parametrize(("spoil", "why"), SPOILS)
async def test_a_ledger_that_cannot_be_used_is_named_and_left_alone(
    stage: Stage, spoil: Callable[[], None], why: str
) -> None:
    await stage.add()
    await asyncio.to_thread(spoil)
    before = (state_folder(ME) / "ledger.db").read_bytes()
    with pytest.raises(StateError, match=why):
        await daemon.run_daemon(Config(), stage.accounts, desktop=stage.desktop, stop=stage.stop)
    assert (state_folder(ME) / "ledger.db").read_bytes() == before


@pytest.mark.expected_log("@me:example.org cannot run")
async def test_one_account_that_cannot_be_opened_leaves_the_others_running(stage: Stage) -> None:
    await stage.add()
    other = await stage.add(OTHER)
    await asyncio.to_thread(spoil_bytes)
    async with stage.running():
        await polls(other)
        other.give(other.sync(message("hello")))
        await until(lambda: any("hello" in body for body in stage.desktop.bodies))
        assert stage.account().connection.state is Connection.CANNOT_RUN
        assert "ledger.db is damaged" in stage.account().connection.why
        assert stage.account().connection.cure.startswith("Restore it from a backup, or move it away and start again")
        (told,) = (
            each.notification for each in stage.desktop.shown if "ledger.db is damaged" in each.notification.summary
        )
        assert stage.account().connection.cure in told.body


@pytest.mark.expected_log("The room key .* cannot be read, and is lost")
async def test_a_damaged_room_key_is_told_on_screen(stage: Stage) -> None:
    server, session = await stage.add(), OutboundGroupSession()
    async with stage.running():
        await polls(server)
    stage.stop.clear()
    session.mark_as_shared()
    await asyncio.to_thread(spoil_room_key, session.id)
    content = {"algorithm": MEGOLM, "session_id": session.id, "ciphertext": session.encrypt("{}")}
    async with stage.running():
        await polls(server)
        server.give(server.sync(message("", type="m.room.encrypted", content=content)))
        await until(lambda: "The disk has damaged an encryption key" in stage.summaries, "the notice")


def spoil_room_key(session_id: str) -> None:
    with contextlib.closing(sqlite3.connect(state_folder(ME) / "crypto.db")) as db:
        db.execute(
            "INSERT INTO room_keys (room_id, session_id, pickle, sender, sender_key, sender_ed25519, is_from_backup)"
            " VALUES (?, ?, x'00', '', '', '', 0)",
            (ROOM, session_id),
        )
        db.commit()


@pytest.mark.expected_log("ledger.db is damaged", times=(1, 2))
@pytest.mark.expected_log("Deliveries wait for the disk")
async def test_a_ledger_that_is_damaged_meanwhile_ends_the_account_with_a_notice(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    server = await stage.add()
    async with stage.running() as task:
        await polls(server)
        await asyncio.to_thread(damage_open_ledger)
        server.give(server.sync(message("hello")))
        assert await asyncio.wait_for(task, 20) == EXIT_CONFIG
    assert "damaged" in stage.summaries[0]
    assert not [record for record in caplog.records if record.exc_info]


def damage_open_ledger() -> None:
    """Every page but the first. Before, something is written, so that the daemon does not go by what it remembers."""
    file = state_folder(ME) / "ledger.db"
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE account SET last_sync_ms = last_sync_ms")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xa5" * (size - 4096))


@pytest.mark.expected_log("Error handling request from 127.0.0.1")
@pytest.mark.expected_log("answered HTTP 500: 500 Internal Server Error Server got itself in trouble$")
async def test_faults_of_one_account_are_not_the_end_of_the_others(stage: Stage) -> None:
    server, other = await stage.add(), await stage.add(OTHER)
    server.answers_all = answer_nonsense
    async with stage.running() as task:
        await polls(other)
        other.give(other.sync(message("hello")))
        await until(lambda: stage.desktop.bodies)
        assert not task.done()


async def answer_nonsense(request: web.Request) -> web.StreamResponse:
    raise RuntimeError("the homeserver fell over")


async def test_status_tells_of_every_long_lived_task(stage: Stage, private_bus: PrivateBus) -> None:
    for server in (await stage.add(), await stage.add(OTHER)):
        server.give(server.sync())
    hooks = HooksConfig(on_notification=("true",))
    async with stage.running(Config(hooks=hooks)):
        for server in stage.servers:
            await polls(server)
        answer = stage.status.as_json()
    assert [sorted(task["name"] for task in account["tasks"]) for account in answer["accounts"]] == [ACCOUNT_TASKS] * 2
    assert sorted(task["name"] for task in answer["tasks"]) == DAEMON_TASKS
    assert not [task for part in (answer, *answer["accounts"]) for task in part["tasks"] if task["crashes"]]
    assert stage.status.tasks == stage.account().tasks == ()


ACCOUNT_TASKS = sorted(
    (
        "account",
        "deliveries",
        "device trust",
        "handoff",
        "key backup",
        "keys",
        "mutes",
        "pushers",
        "sync",
        "verifications",
    )
)
DAEMON_TASKS = sorted(
    (
        "D-Bus service",
        "bars and badges",
        "hooks",
        "keys set aside",
        "quiet",
        "session bus",
        "session watch",
        "settings",
        "system bus",
    )
)


@pytest.mark.expected_log("account crashed", times=2)
async def test_an_account_that_cannot_be_opened_for_a_fault_of_our_own_is_opened_again_and_ends_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server, other = await stage.add(), await stage.add(OTHER)
    faults = [RuntimeError("a fault"), RuntimeError("another")]
    open_machine = Machine.open

    async def open_or_fail(folder: Path, user_id: UserId, *arguments: str, **options: Any) -> Machine:
        if user_id == ME and faults:
            raise faults.pop()
        return await open_machine(folder, user_id, *arguments, **options)

    monkeypatch.setattr(Machine, "open", open_or_fail)
    async with stage.running() as task:
        await polls(other)
        assert stage.account().connection.why == "an unexpected fault, see the log"
        (crashed,) = [task for task in stage.account().tasks if task.crashes]
        assert crashed.name == "account"
        await polls(server)
        server.give(server.sync(message("hello")))
        await until(lambda: stage.desktop.bodies)
        assert not task.done()
        assert stage.account().connection.why == ""
    assert "RuntimeError: a fault" in caplog.text


async def test_a_token_that_only_a_side_request_is_refused_ends_nothing(stage: Stage) -> None:
    server = await stage.add()
    refused = 0

    async def refuse_once(request: web.Request) -> web.StreamResponse:
        nonlocal refused
        refused += 1
        del server.answers_to["v3/pushers"]
        return await refusal(401, "M_UNKNOWN_TOKEN")(request)

    server.answers_to["v3/pushers"] = refuse_once
    async with stage.running() as task:
        await until(lambda: refused)

        async def is_registered() -> bool:
            # It is tried again with the turns of the sync.
            server.give(server.sync())
            await asyncio.sleep(0.1)
            return stage.account().is_pusher_registered

        await until(is_registered)
        assert not task.done()


@pytest.mark.expected_log("Not done in !room:example.org: mark as read", times=(1, None))
async def test_a_token_that_a_side_request_is_refused_is_asked_about_at_once(stage: Stage) -> None:
    server = await stage.add()
    server.answers_to[f"v3/rooms/{ROOM}/read_markers"] = refusal(401, "M_UNKNOWN_TOKEN")
    async with stage.running():
        await polls(server)
        server.give(server.sync(message("hello")))
        await until(lambda: stage.desktop.bodies and server.waiting)
        polled = len(server.sinces)
        stage.desktop.press("Mark as read")
        # The poll that waits would go on for most of a minute.
        await until(lambda: len(server.sinces) > polled)


def let_open(monkeypatch: pytest.MonkeyPatch, *faults: Exception) -> None:
    """Each opening of the ledger of ME raises the next one of these, and then works."""
    open_ledger, left = SqliteLedger.open, list(faults)

    async def open_or_fail(folder: Path) -> SqliteLedger:
        if folder == state_folder(ME) and left:
            raise left.pop(0)
        return await open_ledger(folder)

    monkeypatch.setattr(SqliteLedger, "open", open_or_fail)


@pytest.mark.expected_log("Unexpected fault in opening @me:example.org, which is tried again")
@pytest.mark.expected_log("account crashed, and starts again in 1 s")
async def test_an_account_whose_ledger_finds_a_fault_of_our_own_is_opened_again_and_ends_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, other = await stage.add(), await stage.add(OTHER)
    let_open(monkeypatch, RuntimeError("a fault"), RuntimeError("another"))
    async with stage.running() as task:
        await polls(other)
        assert stage.account().connection.why == "an unexpected fault, see the log"
        await polls(server)
        server.give(server.sync(message("hello")))
        await until(lambda: stage.desktop.bodies)
        assert stage.account().connection.why == ""
        assert sorted(each.name for each in stage.account().tasks) == ACCOUNT_TASKS
        stage.stop.set()
        assert await asyncio.wait_for(task, 10) == EXIT_OK


FULL = StateError("The disk is full", "Make room on it.")


@pytest.mark.expected_log("Unexpected fault in opening @me:example.org, which is tried again")
@pytest.mark.expected_log("@me:example.org cannot run: The disk is full. Make room on it.$")
async def test_an_account_that_meets_what_only_the_user_can_mend_when_it_is_opened_again_says_that(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.add()
    other = await stage.add(OTHER)
    let_open(monkeypatch, RuntimeError("a fault"), FULL)
    async with stage.running() as task:
        await polls(other)
        await until(lambda: stage.account().connection.state is Connection.CANNOT_RUN, "the end of the account")
        assert (stage.account().connection.why, stage.account().connection.cure) == ("The disk is full", FULL.hint)
        await until(lambda: FULL.title in stage.summaries, "a notice")
        other.give(other.sync(message("hello")))
        await until(lambda: any("hello" in body for body in stage.desktop.bodies))
        assert stage.account(OTHER).connection.state is Connection.CONNECTED
        stage.stop.set()
        assert await asyncio.wait_for(task, 10) == EXIT_OK


@pytest.mark.expected_log("Unexpected fault in opening @me:example.org, which is tried again")
@pytest.mark.expected_log("@me:example.org cannot run: The disk is full. Make room on it.$")
async def test_a_daemon_whose_only_account_cannot_be_opened_again_ends_with_what_its_user_can_mend(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.add()
    let_open(monkeypatch, RuntimeError("a fault"), FULL)
    async with stage.running() as task:
        await asyncio.wait([task], timeout=10)
        assert task.exception() is FULL


@pytest.mark.expected_log("Unexpected fault in telling @me:example.org")
async def test_a_fault_in_telling_one_account_keeps_nothing_from_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.add()
    other = await stage.add(OTHER)
    take_signs, told = AccountRun.take_signs, set()

    def take_or_fail(run: AccountRun, signs: Signs) -> None:
        if run.account.user_id == ME:
            raise RuntimeError("a fault")
        told.add(run.account.user_id)
        take_signs(run, signs)

    monkeypatch.setattr(AccountRun, "take_signs", take_or_fail)
    async with stage.running():
        await polls(other)
        other.give(other.sync(message("hello")))
        await until(lambda: stage.desktop.bodies)
    assert told == {OTHER}
