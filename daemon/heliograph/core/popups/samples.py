"""Makes one notification of each kind, so that the user can see how this desktop shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from heliograph.core.ids import EventId, RoomId, UserId
from heliograph.core.notification import Category, Notification, Picture
from heliograph.core.popups.arrange import Show, arrange
from heliograph.core.popups.looks import LARGE
from heliograph.core.popups.profile import Layout
from heliograph.core.record import Content, Delivery

ME = "@you:example.org"


def sample_notifications(layout: Layout) -> list[tuple[str, Notification]]:
    """The samples, each with a word for what it stands for. They are made as real notifications are, in the server's
    `layout`."""
    show = partial(_show_sample, layout=layout)
    return [
        (
            "a message to you alone, with a picture",
            replace(
                show([sample_message("Alice", "Are you coming to lunch?", is_direct=True)]),
                picture=draw_picture(),
            ),
        ),
        (
            "a message in a thread, with emphasis",
            show([sample_message("Bob", "at noon, not later", markup="at <b>noon</b>, not later", thread="When?")]),
        ),
        (
            "several messages in a room",
            show(
                [
                    sample_message("Alice", "Pizza?"),
                    sample_message("Bob", "Always."),
                    sample_message("Alice", "12:30 then."),
                ]
            ),
        ),
        (
            "a mention",
            show([sample_message("Bob", "you: what do you say?", is_highlight=True, sound="default")]),
        ),
        ("a message that makes no sound", show([sample_message("Carol", "<b>not bold</b> & not a link")])),
        (
            "an invite",
            show([sample_message("Dave", "Invited you to this room", room="Reading group", category=Category.INVITE)]),
        ),
        (
            "a call",
            show([sample_message("Alice", "Incoming call", is_direct=True, category=Category.CALL, sound="ring")]),
        ),
        (
            "news from many rooms at once",
            # One room more than `_show_sample` allows, so that these become a summary.
            show([sample_message("Erin", f"News {number}", room=f"Room {number}") for number in range(1, 7)]),
        ),
        (
            "a word from Heliograph itself",
            Notification("The keyring is locked", "This is only a test.", ME, category=Category.DEVICE),
        ),
    ]


def draw_picture() -> Picture:
    """A light disc on a dark ground."""
    half = LARGE // 2
    light, dark = bytes((235, 203, 139, 255)), bytes((94, 129, 172, 255))
    rows = range(LARGE)
    pixels = b"".join(
        light if (x - half) ** 2 + (y - half) ** 2 < (LARGE // 3) ** 2 else dark for y in rows for x in rows
    )
    return Picture(LARGE, LARGE, pixels)


def sample_message(sender: str, text: str, *, room: str = "Lunch", **content: Any) -> Delivery:
    """A delivery of nobody's message, with what `Content` has besides."""
    defaults: dict[str, Any] = {"sound": None}
    return Delivery(
        event_id=EventId(f"$test-{sender}-{text}"),
        room_id=RoomId(f"!{room}:example.org"),
        sender=UserId(f"@{sender.lower()}:example.org"),
        content=Content(room_title=room, sender_name=sender, text=text, **(defaults | content)),
    )


def _show_sample(deliveries: Sequence[Delivery], *, layout: Layout) -> Notification:
    (step,) = arrange(deliveries, (), me=ME, max_rooms=5, layout=layout)
    assert isinstance(step, Show)
    return step.notification
