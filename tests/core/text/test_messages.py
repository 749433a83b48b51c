"""What an event says in a notification."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.notification import Category
from heliograph.core.text.messages import (
    Words,
    category_of,
    mark_unverified,
    word_event,
    word_invite,
    word_thread,
)
from support.builders import make_edit, make_event


def html(formatted_body: object) -> dict[str, Any]:
    return {"format": "org.matrix.custom.html", "formatted_body": formatted_body}


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
        (
            {"msgtype": "m.image", "body": "our **cat**", "filename": "1.jpg", **html("our <b>cat</b>")},
            "Sent an image: our cat",
        ),
        ({"msgtype": "m.image", "info": "odd"}, "Sent an image"),
        ({"msgtype": "m.file", "body": "plan.pdf"}, "Sent a file: plan.pdf"),
        ({"msgtype": "m.file", "body": "plan.pdf", "info": {"size": 2_100_000}}, "Sent a file: plan.pdf, 2 MB"),
        ({"msgtype": "m.file", "body": "x", "info": {"size": 999}}, "Sent a file: x, 999 B"),
        ({"msgtype": "m.file", "body": "x", "info": {"size": 3_200_000_000}}, "Sent a file: x, 3.2 GB"),
        ({"msgtype": "m.file", "body": "x", "info": {"size": -1}}, "Sent a file: x"),
        ({"msgtype": "m.file", "body": "x", "info": {"size": 10**300}}, "Sent a file: x"),
        ({"msgtype": "m.file", "body": "x", "info": {"size": True}}, "Sent a file: x"),
        ({"msgtype": "m.file"}, "Sent a file"),
        ({"msgtype": "m.file", "body": "for you", "filename": "a.pdf"}, "Sent a file: a.pdf\nfor you"),
        ({"msgtype": "m.video", "info": {"duration": 61_400}}, "Sent a video (1:01)"),
        ({"msgtype": "m.video", "info": {"duration": "long"}}, "Sent a video"),
        ({"msgtype": "m.audio", "info": {"duration": 10}}, "Sent a sound file (0:01)"),
        (
            {"msgtype": "m.audio", "info": {"duration": 12_000}, "org.matrix.msc3245.voice": {}},
            "Sent a voice message (0:12)",
        ),
        ({"msgtype": "m.location", "m.location": {"description": "Our bench"}}, "Sent a location: Our bench"),
        ({"msgtype": "m.location", "org.matrix.msc3488.location": {"uri": "geo:1,2"}}, "Sent a location"),
        ({"msgtype": "m.emote", "body": "waves"}, "* waves"),
        ({"msgtype": "m.key.verification.request", "body": "…"}, "Asks you to verify each other"),
        ({"msgtype": "m.text", "body": "x", **html("<b>y</b>")}, "y"),
        ({"msgtype": "m.text", "body": "x", **html("<p> </p>")}, "x"),
        ({"msgtype": "m.text", "body": "x", **html(5)}, "x"),
        ({"msgtype": "m.text", "body": "x", "formatted_body": "<b>y</b>", "format": "text/rtf"}, "x"),
        ({"msgtype": "m.text", "body": "the end", **html("<span data-mx-spoiler>the end</span>")}, "[spoiler]"),
        ({"msgtype": "m.text", "body": "the end", **html("<script>" * 600 + "<b>")}, "the end"),
        (
            {"msgtype": "m.text", "body": "> <@a:x> old\n\nnew", **REPLY, **html("<mx-reply>old</mx-reply>new")},
            "new",
        ),
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
    assert word_event(make_event(content=content)).text == text


@pytest.mark.parametrize(
    ("type_", "content", "text"),
    [
        ("m.room.encrypted", {"ciphertext": "…"}, "New encrypted message"),
        ("m.sticker", {"body": "a cat waves"}, "Sticker: a cat waves"),
        ("m.sticker", {}, "Sticker"),
        ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "key": "👍"}}, "Reacted: 👍"),
        (
            "m.reaction",
            {"m.relates_to": {"rel_type": "m.annotation", "key": "mxc://x/y"}, "shortcode": ":cat:"},
            "Reacted: :cat:",
        ),
        ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "key": "mxc://x/y"}}, "Reacted"),
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
        ("m.call.invite", {"offer": {"sdp": "v=0\r\nm=audio 9"}}, "Incoming voice call"),
        ("m.call.invite", {"offer": {"sdp": "m=audio 9\r\nm=video 9"}}, "Incoming video call"),
        ("m.call.notify", {"notify_type": "ring"}, "Incoming call"),
        ("m.call.notify", {"notify_type": "notify"}, "Started a call"),
        ("org.matrix.msc4075.rtc.notification", {"notification_type": "notification"}, "Started a call"),
        ("org.matrix.msc3381.poll.response", {}, "Voted in a poll"),
        ("m.poll.end", {}, "A poll has ended"),
        ("m.beacon_info", {"live": True}, "Shares a live location"),
        ("org.matrix.msc3672.beacon_info", {"live": False}, "No longer shares a live location"),
        (
            "m.poll.start",
            {"m.poll": {"question": {"m.text": [{"body": "Tea?"}]}, "answers": [{"body": "Yes"}, "odd", {"body": 5}]}},
            "Poll: Tea?\n• Yes",
        ),
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
    assert word_event(make_event(type=type_, content=content)).text == text


def test_an_edit_says_what_the_message_says_now() -> None:
    assert word_event(make_edit("$x", "corrected")).text == "corrected"
    without = {"msgtype": "m.text", "body": "* y", "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}
    assert word_event(make_event(content=without)).text == "* y"


def test_calls_are_filed_as_calls() -> None:
    assert category_of(make_event(type="m.call.invite", content={})) is Category.CALL
    assert category_of(make_event()) is Category.MESSAGE


def test_invites_are_worded_by_what_they_are_to() -> None:
    said = {word_invite(is_direct=True), word_invite(is_direct=False), word_invite(is_direct=False, is_space=True)}
    assert len(said) == 3


def test_what_is_styled_has_markup_and_what_is_not_has_none() -> None:
    def markup(**content: Any) -> str:
        return word_event(make_event(content={"body": "x", **content})).markup

    assert markup(msgtype="m.text", **html("a <b>b</b> &lt;c&gt;")) == "a <b>b</b> &lt;c&gt;"
    assert markup(msgtype="m.text", **html("a &lt;c&gt;")) == ""
    assert markup(msgtype="m.text") == ""
    assert markup(msgtype="m.emote", **html("<i>waves</i>")) == "* <i>waves</i>"
    assert markup(msgtype="m.image", filename="y", **html("<i>cat</i>")) == "Sent an image: <i>cat</i>"


def test_what_nothing_proves_says_so_in_both_forms() -> None:
    assert mark_unverified(Words("x")) == Words("Unverified: x")
    assert mark_unverified(Words("x", "<b>x</b>")) == Words("Unverified: x", "Unverified: <b>x</b>")


def test_a_thread_is_named_by_the_beginning_of_its_root() -> None:
    assert word_thread(make_event("When do\nwe eat?")) == "When do we eat?"
    assert len(word_thread(make_event("x" * 500))) == 40


def test_a_call_that_shall_not_ring_is_filed_as_a_message() -> None:
    assert category_of(make_event(type="m.call.notify", content={"notify_type": "notify"})) is Category.MESSAGE
    assert category_of(make_event(type="m.call.notify", content={"notify_type": "ring"})) is Category.CALL
