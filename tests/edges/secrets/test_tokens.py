"""Renewing tokens: in which order, by whom, and what comes of trouble."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from fakes.token_endpoint import FakeTokenEndpoint
from heliograph.core.oauth.token_answer import Ended, TokenAnswer, TryAgain
from heliograph.errors import LoggedOut, StateError, TokenRefused, Unreachable
from heliograph.secrets.token_file import KeptTokens, TokenFile
from heliograph.secrets.tokens import SealedTokens
from support.builders import ME
from support.waiting import until

LIFE_S = 300.0
FIRST = KeptTokens(access_token="access 1", refresh_token="refresh 1", life_s=LIFE_S, born_ms=1_000_000)


class Clocks:
    """A wall clock that can be set, and one that nobody sets."""

    def __init__(self) -> None:
        self.wall_ms, self.boot_s = 1_000_000, 5_000.0

    def pass_time(self, seconds: float) -> None:
        self.wall_ms += int(1000 * seconds)
        self.boot_s += seconds


class Stage:
    """An account's folder, an endpoint, and as many processes as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = TokenFile(folder, ME, "pickle")
        self.file.save(FIRST)
        self.endpoint = FakeTokenEndpoint(LIFE_S)
        self.clocks = Clocks()

    def process(self, file: TokenFile | None = None) -> SealedTokens:
        """The tokens as a process has them that starts now."""
        kept = self.file.load()
        assert kept is not None
        return SealedTokens(
            file or self.file,
            self.endpoint,
            kept,
            clock=lambda: self.clocks.wall_ms,
            boottime=lambda: self.clocks.boot_s,
            jitter=lambda: 0.5,
        )

    def kept(self) -> KeptTokens:
        kept = self.file.load()
        assert kept is not None
        return kept


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


class SlowFile(TokenFile):
    """Writes when the test lets it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ME, "pickle")
        self.is_writing, self.may_write = threading.Event(), threading.Event()

    def save(self, tokens: KeptTokens) -> None:
        self.is_writing.set()
        assert self.may_write.wait(30)
        super().save(tokens)


async def test_tokens_are_on_the_disk_before_they_are_used(stage: Stage) -> None:
    file = SlowFile(stage.folder)
    tokens = stage.process(file)
    renewing = asyncio.create_task(tokens.renew("access 1"))
    await asyncio.to_thread(file.is_writing.wait, 30)
    # The answer is there, and nobody gets the new token yet.
    assert stage.endpoint.asked == ["refresh 1"]
    assert await tokens.fresh() == "access 1"
    assert not renewing.done()
    assert stage.kept() == FIRST
    file.may_write.set()
    assert await renewing == "access 2"
    assert (stage.kept().access_token, stage.kept().refresh_token) == ("access 2", "refresh 2")


class FullDisk(TokenFile):
    """Takes nothing until there is room."""

    has_room = False

    def save(self, tokens: KeptTokens) -> None:
        if not self.has_room:
            raise StateError("tokens cannot be used: No space left on device", "Make room.")
        super().save(tokens)


async def test_tokens_that_cannot_be_written_are_not_used_and_not_lost(stage: Stage) -> None:
    file = FullDisk(stage.folder, ME, "pickle")
    tokens = stage.process(file)
    with pytest.raises(Unreachable, match="No space left"):
        await tokens.renew("access 1")
    assert await tokens.fresh() == "access 1"
    # A process that starts now goes on with what is on the disk.
    assert stage.kept() == FIRST
    file.has_room = True
    stage.clocks.pass_time(2)
    assert await tokens.renew("access 1") == "access 2"
    assert stage.endpoint.asked == ["refresh 1"]


async def test_an_answer_that_is_lost_is_asked_for_again(stage: Stage) -> None:
    tokens = stage.process()
    await stage.endpoint.refresh("refresh 1")
    assert await tokens.renew("access 1") == "access 3"
    assert stage.kept().refresh_token == "refresh 3"


async def test_of_all_processes_one_renews(stage: Stage) -> None:
    processes = [stage.process() for _ in range(4)]
    stage.clocks.pass_time(LIFE_S)
    assert {await each for each in [process.fresh() for process in processes]} == {"access 2"}
    given = await asyncio.gather(*(process.renew("access 2") for process in processes))
    assert set(given) == {"access 3"}
    assert stage.endpoint.asked == ["refresh 1", "refresh 2"]


async def test_a_living_token_serves_while_another_process_renews_or_hangs(stage: Stage) -> None:
    tokens = stage.process()
    async with stage.file.locked():
        stage.clocks.pass_time(LIFE_S - 1)
        assert await tokens.fresh() == "access 1"
        waiting = asyncio.create_task(tokens.fresh(least_left_s=60))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        assert stage.endpoint.asked == []
        assert await tokens.fresh() == "access 1"
    assert await waiting == "access 2"


@pytest.mark.parametrize("jump_s", [3600, -3600, 400 * 86_400])
async def test_no_jump_of_the_clock_loses_the_session(stage: Stage, jump_s: int) -> None:
    before = stage.process()
    stage.clocks.wall_ms += 1000 * jump_s
    # Within a process nothing jumps; one that starts now renews at most once more than it needs to.
    assert await before.fresh() == "access 1"
    after = stage.process()
    assert await after.fresh() == "access 2"
    assert await stage.process().fresh() == "access 2"
    assert before.left_s() == LIFE_S
    stage.endpoint.used.add("access 2")
    assert await before.renew("access 1") == "access 2"
    stage.clocks.pass_time(LIFE_S)
    assert await before.fresh() == "access 3"
    assert await stage.process().fresh() == "access 3"
    stage.clocks.wall_ms -= 1000 * jump_s
    stage.clocks.pass_time(LIFE_S)
    assert await before.fresh() == "access 4"
    assert await stage.process().fresh() in ("access 4", "access 5")


async def test_a_token_that_expired_in_sleep_is_renewed(stage: Stage) -> None:
    tokens = stage.process()
    stage.clocks.boot_s += 30 * 86_400
    assert tokens.left_s() == 0
    assert await tokens.fresh() == "access 2"


async def test_a_caller_that_gives_up_leaves_the_renewal_alone(stage: Stage) -> None:
    file = SlowFile(stage.folder)
    tokens = stage.process(file)
    giving_up = asyncio.create_task(tokens.renew("access 1"))
    await asyncio.to_thread(file.is_writing.wait, 30)
    giving_up.cancel()
    file.may_write.set()
    await tokens.close()
    assert await tokens.fresh() == "access 2"
    assert stage.kept().access_token == "access 2"


async def test_whoever_wants_a_token_meanwhile_waits_for_the_same_answer(stage: Stage) -> None:
    tokens = stage.process()
    given = await asyncio.gather(*(tokens.renew("access 1") for _ in range(20)))
    assert set(given) == {"access 2"}
    assert stage.endpoint.asked == ["refresh 1"]


async def test_an_endpoint_in_trouble_is_left_alone_for_as_long_as_it_asks(stage: Stage) -> None:
    tokens = stage.process()
    stage.endpoint.trouble = TryAgain(30, "HTTP 429")
    for _ in range(5):
        with pytest.raises(Unreachable, match="HTTP 429"):
            await tokens.renew("access 1")
    assert len(stage.endpoint.asked) == 1
    stage.clocks.pass_time(30)
    stage.endpoint.trouble = None
    assert await tokens.renew("access 1") == "access 2"


async def test_what_another_process_got_meanwhile_ends_the_trouble(stage: Stage) -> None:
    tokens = stage.process()
    stage.endpoint.trouble = TryAgain(30, "HTTP 429")
    with pytest.raises(Unreachable):
        await tokens.renew("access 1")
    stage.endpoint.trouble = None
    await stage.process().renew("access 1")
    assert await tokens.renew("access 1") == "access 2"


async def test_an_end_is_told_again_for_half_a_minute_and_then_asked_about(stage: Stage) -> None:
    tokens = stage.process()
    stage.endpoint.trouble = Ended("invalid_grant")
    for _ in range(3):
        with pytest.raises(LoggedOut) as gone:
            await tokens.renew("access 1")
        assert gone.value.soft
    assert len(stage.endpoint.asked) == 1
    assert stage.kept() == FIRST
    stage.clocks.pass_time(30)
    stage.endpoint.trouble = None
    assert await tokens.renew("access 1") == "access 2"


async def test_tokens_that_were_removed_are_a_soft_sign_out(stage: Stage) -> None:
    tokens = stage.process()
    (stage.folder / "tokens").unlink()
    with pytest.raises(LoggedOut) as gone:
        await tokens.renew("access 1")
    assert gone.value.soft


async def test_a_damaged_file_is_waited_out(stage: Stage) -> None:
    tokens = stage.process()
    (stage.folder / "tokens").write_bytes(b"x" * 100)
    with pytest.raises(Unreachable, match="cannot be opened"):
        await tokens.renew("access 1")
    assert await tokens.fresh() == "access 1"
    await asyncio.to_thread(stage.file.save, FIRST)
    stage.clocks.pass_time(2)
    assert await tokens.renew("access 1") == "access 2"


async def test_a_token_without_a_refresh_token_ends_with_its_life(stage: Stage) -> None:
    first = KeptTokens(access_token="access 1", refresh_token="", life_s=LIFE_S, born_ms=1_000_000)
    await asyncio.to_thread(stage.file.save, first)
    tokens = stage.process()
    assert await tokens.fresh() == "access 1"
    stage.clocks.pass_time(LIFE_S)
    with pytest.raises(LoggedOut):
        await tokens.fresh()
    assert stage.endpoint.asked == []


async def test_a_token_of_unknown_life_is_renewed_when_it_is_refused(stage: Stage) -> None:
    stage.endpoint.life_s = None
    tokens = stage.process()
    assert await tokens.renew("access 1") == "access 2"
    assert (tokens.left_s(), tokens.life_s()) == (None, None)
    stage.clocks.pass_time(86_400)
    assert await tokens.fresh(least_left_s=60) == "access 2"
    tokens.note_accepted("access 2")
    assert await tokens.renew("access 2") == "access 3"


async def refuse_all(tokens: SealedTokens) -> None:
    """What a session does for each request to a homeserver that refuses every token."""
    token = await tokens.fresh()
    for _ in range(2):
        token = await tokens.renew(token)


async def test_a_locked_account_costs_ten_renewals_in_ten_minutes_and_is_back_a_minute_later(stage: Stage) -> None:
    stage.endpoint.life_s = 12
    tokens = stage.process()
    for _ in range(120):
        with pytest.raises(TokenRefused) as refusal:
            await refuse_all(tokens)
        stage.clocks.pass_time(5)
    assert len(stage.endpoint.asked) == 10
    # Unlocked: the next token is good, and it is due within a minute.
    assert refusal.value.after <= 61
    stage.clocks.pass_time(refusal.value.after - 5)
    token = await tokens.fresh()
    assert len(stage.endpoint.asked) == 11
    tokens.note_accepted(token)
    # From then on a refused token is like the first one, and renewed at once.
    assert await tokens.renew(token) != token


class HangingEndpoint(FakeTokenEndpoint):
    """Answers when the test lets it."""

    def __init__(self) -> None:
        super().__init__(LIFE_S)
        self.may_answer = asyncio.Event()

    async def refresh(self, refresh_token: str) -> TokenAnswer:
        answer = await super().refresh(refresh_token)
        await self.may_answer.wait()
        return answer


async def test_the_end_waits_a_little_for_an_answer_under_way(stage: Stage) -> None:
    endpoint = stage.endpoint = HangingEndpoint()
    tokens = stage.process()
    renewing = asyncio.create_task(tokens.renew("access 1"))
    await until(lambda: endpoint.asked)
    closing = asyncio.create_task(tokens.close())
    await asyncio.sleep(0)
    assert not closing.done()
    endpoint.may_answer.set()
    await closing
    assert stage.kept().access_token == "access 2"
    assert await renewing == "access 2"
