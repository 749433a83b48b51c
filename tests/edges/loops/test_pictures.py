"""Pictures are fetched once, kept in bounds, and waited for only a moment."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import DeliveryStage, WallClock, running
from heliograph.core.delivery import State
from heliograph.core.ids import EventId
from heliograph.core.notification import Picture
from heliograph.desktop.pictures import FAILURE_KEPT_MS, KEPT, PATIENCE_S, UNDER_WAY, PictureCache
from heliograph.errors import Refused
from support.builders import make_content, make_delivery
from support.waiting import until

PICTURE = Picture(1, 1, b"\1\2\3\4")


class Source:
    """Where pictures come from; `delay` seconds later."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.delay = 0.0
        self.is_there = True

    async def __call__(self, uri: str, side: int) -> bytes:
        self.asked.append(uri)
        await asyncio.sleep(self.delay)
        if not self.is_there:
            raise Refused(404, "M_NOT_FOUND", "no such file")
        return uri.encode()


async def decode(data: bytes, side: int) -> Picture | None:
    if b"poison" in data:
        raise RuntimeError("a fault of our own")
    return None if b"svg" in data else Picture(1, 1, data)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def cache(clock: WallClock, source: Source) -> PictureCache:
    return PictureCache(decode, lambda: source, clock=clock)


async def test_a_picture_is_fetched_once(cache: PictureCache, source: Source) -> None:
    for _ in range(2):
        assert await cache.fetch({"mxc://x/a"}) == {"mxc://x/a": Picture(1, 1, b"mxc://x/a")}
    assert source.asked == ["mxc://x/a"]


async def test_a_slow_one_is_not_waited_for_but_there_the_next_time(cache: PictureCache, source: Source) -> None:
    loop = asyncio.get_running_loop()
    source.delay = 5
    begun = loop.time()
    assert await cache.fetch({"mxc://x/a"}) == {}
    assert loop.time() - begun == pytest.approx(PATIENCE_S)
    await asyncio.sleep(6)
    assert await cache.fetch({"mxc://x/a"}) != {}
    assert source.asked == ["mxc://x/a"]


@pytest.mark.parametrize("uri", ["mxc://x/missing", "mxc://x/svg"])
async def test_what_cannot_be_had_is_asked_for_again_only_much_later(
    cache: PictureCache, source: Source, clock: WallClock, uri: str
) -> None:
    source.is_there = "missing" not in uri
    for _ in range(3):
        assert await cache.fetch({uri}) == {}
    assert len(source.asked) == 1
    clock.jump(FAILURE_KEPT_MS / 1000)
    await cache.fetch({uri})
    assert len(source.asked) == 2


@pytest.mark.expected_log("Unexpected fault in a picture")
async def test_one_that_finds_a_fault_is_done_without_and_keeps_no_other(cache: PictureCache, source: Source) -> None:
    for _ in range(3):
        assert set(await cache.fetch({"mxc://x/poison", "mxc://x/a"})) == {"mxc://x/a"}
    assert source.asked == ["mxc://x/a", "mxc://x/poison"]


async def test_only_so_many_are_kept_and_the_latest_used_stay(cache: PictureCache, source: Source) -> None:
    for number in range(3 * KEPT):
        await cache.fetch({f"mxc://x/{number}", "mxc://x/often"})
    source.asked.clear()
    await cache.fetch({"mxc://x/often", f"mxc://x/{3 * KEPT - 1}"})
    assert source.asked == []
    await cache.fetch({"mxc://x/0"})
    assert source.asked == ["mxc://x/0"]


async def test_only_so_many_are_under_way_and_they_end_with_the_account(cache: PictureCache, source: Source) -> None:
    source.delay = 3600
    await cache.fetch({f"mxc://x/{number}" for number in range(100)})
    assert len(source.asked) == UNDER_WAY
    await cache.close()
    assert len(asyncio.all_tasks()) == 1


async def test_before_the_account_is_signed_in_there_are_none(clock: WallClock) -> None:
    assert await PictureCache(decode, lambda: None, clock=clock).fetch({"mxc://x/a"}) == {}


async def test_a_popup_has_its_picture_and_rings_without_it(
    clock: WallClock, cache: PictureCache, source: Source
) -> None:
    stage = DeliveryStage(clock, pictures=cache)
    source.delay = 60
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", content=make_content(avatar="mxc://x/a")))
        await until(lambda: stage.state(EventId("$a")) is State.SHOWN, "on screen")
        await stage.commit(make_delivery("$b", content=make_content(avatar="mxc://x/b")))
        source.delay = 0
        await until(lambda: stage.state(EventId("$b")) is State.SHOWN, "on screen")
        await asyncio.sleep(100)
        await stage.commit(make_delivery("$c", content=make_content(avatar="mxc://x/a")))
        await until(lambda: stage.state(EventId("$c")) is State.SHOWN, "on screen")
    pictures = [each.notification.picture for each in stage.desktop.shown]
    assert pictures[0] is None
    assert pictures[-1] == Picture(1, 1, b"mxc://x/a")
    await cache.close()
