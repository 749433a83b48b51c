"""What is on the screen while the session is locked."""

from __future__ import annotations

from edges.loops.stage import DeliveryStage, WallClock, running
from heliograph.core.delivery import State
from heliograph.core.popups.privacy import Level, Privacy
from support.builders import ROOM, make_content, make_delivery
from support.waiting import until

LOCKING = Privacy(Level.FULL, Level.SENDER)


async def shown(stage: DeliveryStage, event_id: str) -> None:
    await until(lambda: stage.state(event_id) is State.SHOWN, f"{event_id} on screen")


async def test_a_lock_takes_the_text_from_the_screen_and_the_key_brings_it_back(clock: WallClock) -> None:
    stage = DeliveryStage(clock, privacy=LOCKING)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", content=make_content("secret", sound="default")))
        await shown(stage, "$a")
        stage.loop.set_locked(True)
        await until(lambda: stage.desktop.bodies == ["New message from Alice"], "less")
        await stage.commit(make_delivery("$b", text="secret, too"))
        await until(lambda: stage.desktop.bodies == ["2 new messages from Alice"], "both")
        stage.loop.set_locked(False)
        await until(lambda: stage.desktop.bodies == ["Alice: secret\nAlice: secret, too"], "all of it")
    assert stage.sounds == 1
    assert len(stage.popup_ids) == 1
    assert stage.told == ["secret", "secret, too"], "programs of the user's are no screen"


async def test_what_may_be_seen_by_everybody_is_left_alone(clock: WallClock) -> None:
    stage = DeliveryStage(clock)
    async with running(stage.loop):
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
        stage.loop.set_locked(True)
        await stage.loop.rest()
    assert len(stage.desktop.shown) == 1


async def test_a_room_that_is_hidden_says_nothing_at_any_time(clock: WallClock) -> None:
    stage = DeliveryStage(clock, privacy=Privacy(rooms={Level.HIDDEN: frozenset({ROOM})}))
    async with running(stage.loop):
        await stage.commit(make_delivery("$a", text="secret"), make_delivery("$b", room_id="!x", text="hello"))
        await shown(stage, "$b")
    assert [(each.summary, each.body) for each in stage.desktop.on_screen.values()] == [
        ("New message", ""),
        ("Lunch", "Alice: hello"),
    ]


async def test_words_of_our_own_are_always_shown(clock: WallClock) -> None:
    stage = DeliveryStage(clock, privacy=Privacy(Level.HIDDEN))
    async with running(stage.loop):
        ours = make_content("3 unread notifications", room_title="Matrix", sender_name="")
        await stage.commit(make_delivery("start:1", room_id="", content=ours))
        await shown(stage, "start:1")
    assert stage.desktop.bodies == ["3 unread notifications"]
