"""What everything does that gives a session its access tokens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.access_tokens import FakeAccessTokens
from fakes.token_endpoint import FakeTokenEndpoint
from heliograph.core.oauth.token_answer import Ended, TryAgain
from heliograph.errors import LoggedOut, TokenRefused, Unreachable
from heliograph.homeserver.lasting_token import LastingToken
from heliograph.ports.tokens import AccessTokens
from heliograph.secrets.token_file import KeptTokens, TokenFile
from heliograph.secrets.tokens import SealedTokens
from support.builders import ME

Trouble = LoggedOut | Unreachable


@dataclass
class Subject:
    """Tokens that live for 300 s by a clock that the test moves."""

    tokens: AccessTokens
    pass_time: Callable[[float], None]
    set_trouble: Callable[[Trouble | None], None]
    """Sets what comes of a renewal."""
    asked: Callable[[], int]
    """How often a new token was asked for."""


def a_fake() -> Iterator[Subject]:
    fake = FakeAccessTokens()

    def set_trouble(trouble: Trouble | None) -> None:
        fake.trouble = trouble

    yield Subject(fake, fake.pass_time, set_trouble, lambda: fake.asked)


def a_sealed_file() -> Iterator[Subject]:
    endpoint, now = FakeTokenEndpoint(), [1000.0]
    with tempfile.TemporaryDirectory() as folder:
        file = TokenFile(Path(folder), ME, "pickle")
        kept = KeptTokens(access_token="access 1", refresh_token="refresh 1", life_s=300, born_ms=1_000_000)
        file.save(kept)
        tokens = SealedTokens(
            file, endpoint, kept, clock=lambda: int(1000 * now[0]), boottime=lambda: now[0], jitter=lambda: 0.5
        )

        def pass_time(seconds: float) -> None:
            now[0] += seconds

        def set_trouble(trouble: Trouble | None) -> None:
            match trouble:
                case None:
                    endpoint.trouble = None
                case LoggedOut():
                    endpoint.trouble = Ended("invalid_grant")
                case Unreachable():
                    endpoint.trouble = TryAgain(None, str(trouble))

        yield Subject(tokens, pass_time, set_trouble, lambda: len(endpoint.asked))


@pytest.fixture(params=[a_fake, a_sealed_file])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    yield from request.param()


async def test_a_token_that_lives_is_given_again(subject: Subject) -> None:
    first = await subject.tokens.fresh()
    subject.pass_time(299)
    assert await subject.tokens.fresh() == first
    assert subject.asked() == 0


async def test_an_expired_token_is_renewed(subject: Subject) -> None:
    first = await subject.tokens.fresh()
    subject.pass_time(300)
    second = await subject.tokens.fresh()
    assert second != first
    assert await subject.tokens.fresh() == second
    assert subject.asked() == 1


async def test_who_needs_more_time_gets_a_new_token_sooner(subject: Subject) -> None:
    first = await subject.tokens.fresh(least_left_s=60)
    subject.pass_time(241)
    assert await subject.tokens.fresh(least_left_s=10) == first
    assert await subject.tokens.fresh(least_left_s=60) != first
    # Half of its life is before it: another one would not live much longer.
    assert await subject.tokens.fresh(least_left_s=100_000) == await subject.tokens.fresh()
    assert subject.asked() == 1


async def test_what_is_left_is_told(subject: Subject) -> None:
    await subject.tokens.fresh()
    assert subject.tokens.life_s() == 300
    subject.pass_time(100)
    assert subject.tokens.left_s() == pytest.approx(200, abs=1)
    subject.pass_time(1000)
    assert subject.tokens.left_s() == 0
    await subject.tokens.fresh()
    assert subject.tokens.left_s() == pytest.approx(300, abs=1)


async def test_a_refused_token_is_renewed_though_it_seems_to_live(subject: Subject) -> None:
    first = await subject.tokens.fresh()
    second = await subject.tokens.renew(first)
    assert second not in (first, None)
    # Somebody else was refused the same one, and does not cost another renewal.
    assert await subject.tokens.renew(first) == second
    assert subject.asked() == 1


async def test_a_fresh_token_that_is_refused_too_is_told_as_such_and_not_renewed_at_once(subject: Subject) -> None:
    second = await subject.tokens.renew(await subject.tokens.fresh())
    assert second is not None
    with pytest.raises(TokenRefused) as refusal:
        await subject.tokens.renew(second)
    assert 0 < refusal.value.after <= 61
    assert await subject.tokens.fresh() == second
    assert subject.asked() == 1


async def test_a_fresh_token_that_ended_before_it_was_looked_at_is_renewed_at_once(subject: Subject) -> None:
    second = await subject.tokens.renew(await subject.tokens.fresh())
    assert second is not None
    subject.pass_time(300)
    assert await subject.tokens.renew(second) not in (second, None)
    assert subject.asked() == 2


async def test_a_token_that_was_good_once_is_renewed_when_it_is_refused(subject: Subject) -> None:
    second = await subject.tokens.renew(await subject.tokens.fresh())
    assert second is not None
    subject.tokens.note_accepted(second)
    assert await subject.tokens.renew(second) not in (second, None)


async def test_without_the_token_endpoint_a_living_token_serves_whoever_needs_no_more(subject: Subject) -> None:
    first = await subject.tokens.fresh()
    subject.set_trouble(Unreachable("nobody there"))
    subject.pass_time(290)
    with pytest.raises(Unreachable):
        await subject.tokens.fresh(least_left_s=60)
    assert await subject.tokens.fresh() == first
    subject.pass_time(10)
    with pytest.raises(Unreachable):
        await subject.tokens.fresh()


async def test_a_session_that_has_ended_is_told_as_a_soft_sign_out(subject: Subject) -> None:
    first = await subject.tokens.fresh()
    subject.set_trouble(LoggedOut(soft=True))
    with pytest.raises(LoggedOut) as gone:
        await subject.tokens.renew(first)
    assert gone.value.soft


async def test_a_token_that_lasts_is_never_renewed() -> None:
    tokens: AccessTokens = LastingToken("lasts")
    assert await tokens.fresh(least_left_s=1e9) == "lasts"
    tokens.note_accepted("lasts")
    assert (tokens.left_s(), tokens.life_s()) == (None, None)
    assert await tokens.renew("lasts") is None
    await tokens.close()
