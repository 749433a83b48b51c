"""What an event says in a notification."""

from __future__ import annotations

from typing import Any

import pytest

from builders import make_edit, make_event
from heliograph.core.notification import Category
from heliograph.core.wording import category_of, word_event, word_invite, word_name

REPLY = {"m.relates_to": {"m.in_reply_to": {"event_id": "$x"}}}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"msgtype": "m.text", "body": "hello"}, "hello"),
        ({"msgtype": "m.notice", "body": "a\nb"}, "a\nb"),
        ({"msgtype": "m.text"}, "Empty message"),
        ({"msgtype": "m.text", "body": {"no": "text"}}, "Empty message"),
        ({"msgtype": 5, "body": "x"}, "x"),
        ({"body": "\u202e\x00"}, "Empty message"),
        ({"msgtype": "m.image", "body": "IMG_1.jpg"}, "Sent an image"),
        ({"msgtype": "m.image", "body": "our cat", "filename": "IMG_1.jpg"}, "Sent an image: our cat"),
        ({"msgtype": "m.image", "body": "IMG_1.jpg", "filename": "IMG_1.jpg"}, "Sent an image"),
        ({"msgtype": "m.file", "body": "plan.pdf"}, "Sent a file: plan.pdf"),
        ({"msgtype": "m.video"}, "Sent a video"),
        ({"msgtype": "m.location", "body": "Big Ben"}, "Sent a location"),
        ({"msgtype": "m.text", "body": "> <@a:x> old\n> lines\n\nnew", **REPLY}, "new"),
        ({"msgtype": "m.text", "body": "new", **REPLY}, "new"),
        ({"msgtype": "m.text", "body": "> only a quote", **REPLY}, "> only a quote"),
        ({"msgtype": "m.text", "body": "> not a reply"}, "> not a reply"),
        ({"msgtype": "m.text", "body": "x", "m.relates_to": "nonsense"}, "x"),
    ],
)
def test_a_message_says_its_text_or_what_it_is(content: dict[str, Any], text: str) -> None:
    assert word_event(make_event(content=content)) == text


@pytest.mark.parametrize(
    ("type_", "content", "text"),
    [
        ("m.room.encrypted", {"ciphertext": "…"}, "New encrypted message"),
        ("m.sticker", {"body": "a cat waves"}, "Sticker: a cat waves"),
        ("m.sticker", {}, "Sticker"),
        ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "key": "👍"}}, "Reacted: 👍"),
        ("m.room.tombstone", {}, "This room was moved to a new one"),
        ("m.room.topic", {"topic": "tea"}, "New topic: tea"),
        ("m.room.member", {"membership": "invite"}, "Invited you to this room"),
        ("m.room.member", {"membership": "invite", "is_direct": True}, "Wants to talk to you"),
        ("m.room.member", {"membership": "join"}, "Joined the room"),
        ("m.room.member", {"membership": "leave"}, "Left the room"),
        ("m.room.member", {"membership": "ban"}, "Was banned from the room"),
        ("m.room.member", {"membership": "knock"}, "Asks to join the room"),
        ("m.room.member", {}, "Changed a membership"),
        ("m.call.invite", {}, "Incoming call"),
        ("m.poll.start", {"m.poll": {"question": {"m.text": [{"body": "Tea?"}]}}}, "Poll: Tea?"),
        (
            "org.matrix.msc3381.poll.start",
            {"org.matrix.msc3381.poll.start": {"question": {"org.matrix.msc1767.text": "Tea?"}}},
            "Poll: Tea?",
        ),
        ("m.poll.start", {"m.poll": {"question": {"m.text": ["odd"]}}}, "Poll"),
        ("m.poll.start", {"m.poll": {"question": "odd"}}, "Poll"),
        ("m.poll.start", {"m.poll": "odd"}, "Poll"),
        ("org.example.poke", {}, "New event: org.example.poke"),
    ],
)
def test_other_events_say_what_they_are(type_: str, content: dict[str, Any], text: str) -> None:
    assert word_event(make_event(type=type_, content=content)) == text


def test_an_edit_says_what_the_message_says_now() -> None:
    assert word_event(make_edit("$x", "corrected")) == "corrected"
    without = {"msgtype": "m.text", "body": "* y", "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}
    assert word_event(make_event(content=without)) == "* y"


def test_calls_are_filed_as_calls() -> None:
    assert category_of(make_event(type="m.call.invite", content={})) is Category.CALL
    assert category_of(make_event()) is Category.MESSAGE


def test_invites_and_names_are_never_empty() -> None:
    assert word_invite(is_direct=True) != word_invite(is_direct=False)
    assert word_name("\u200b") == "(no name)"
    assert word_name(" Alice\n") == "Alice"
