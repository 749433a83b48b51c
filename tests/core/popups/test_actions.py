"""Which buttons a popup has, what they mean, and what is said when it did not work."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.core.ids import EventId, RoomId
from heliograph.core.notification import Action, Category, Urgency
from heliograph.core.popups.actions import (
    MAX_REQUESTS,
    ActionKind,
    ActionRequest,
    MuteSpan,
    action_requests,
    actions_for,
    ask_span,
    kind_of,
    offer,
    word_failure,
)
from heliograph.core.popups.profile import SAFE, ServerProfile
from heliograph.core.popups.profiles import BUDGIE, DUNST, GNOME, LXQT, XFCE
from heliograph.core.record import Delivery
from support.builders import ALICE, BOB, ME, ROOM, make_content, make_delivery, make_notification

OTHER_ROOM = RoomId("!other:example.org")
ALL = {"actions", "body", "inline-reply"}


def labels(*categories: Category, is_summary: bool = False) -> list[str]:
    contents = [make_content(category=category) for category in categories]
    return [action.label for action in actions_for(contents, is_summary=is_summary)]


def shown_labels(actions: tuple[Action, ...], profile: ServerProfile) -> list[str]:
    return [each.label for each in offer(make_notification(actions=actions), {"actions", "body"}, profile)]


def test_a_message_can_be_answered_read_and_muted() -> None:
    assert labels(Category.MESSAGE) == ["Reply in Lunch", "Mark as read", "Mute…"]


def test_only_a_conversation_of_two_is_answered_without_naming_its_room() -> None:
    def reply(shows_sender: bool = True, **content: Any) -> str:
        return actions_for([make_content(**content)], is_summary=False, shows_sender=shows_sender)[0].label

    assert reply(is_direct=True) == "Reply"
    assert reply(room_title="All hands of a very large company") == "Reply in All hands of a very…"
    assert reply(shows_sender=False) == "Reply"


def test_no_popup_has_more_buttons_than_gnome_shows() -> None:
    for category in Category:
        for is_summary in (True, False):
            assert len(labels(category, is_summary=is_summary)) <= 3


def test_an_invite_can_be_accepted_and_declined() -> None:
    assert labels(Category.INVITE) == ["Accept", "Decline"]


def test_an_invite_is_not_accepted_where_it_is_not_said_who_invites() -> None:
    invite = [make_content(category=Category.INVITE)]
    assert [action.label for action in actions_for(invite, is_summary=False, shows_sender=False)] == ["Decline"]
    shown = make_notification(actions=actions_for(invite, is_summary=False))
    assert [action.key for action in offer(shown, {"actions"})] == ["default", "decline"]
    assert [action.key for action in offer(shown, {"actions", "body"})] == ["default", "accept", "decline"]


def test_a_call_is_answered_in_the_client() -> None:
    assert labels(Category.CALL) == ["Answer"]
    (answer,) = actions_for([make_content(category=Category.CALL)], is_summary=False)
    assert kind_of(answer.key) is ActionKind.OPEN


def test_a_call_that_an_event_declines_can_be_declined_here() -> None:
    answer, decline = actions_for([make_content(category=Category.CALL, can_decline=True)], is_summary=False)
    assert (answer.label, decline.label) == ("Answer", "Decline")
    assert kind_of(decline.key) is ActionKind.DECLINE_CALL


def test_the_newest_decides_what_can_be_done() -> None:
    assert labels(Category.INVITE, Category.MESSAGE) == labels(Category.MESSAGE)


def test_a_word_of_our_own_has_no_buttons() -> None:
    assert labels(Category.DEVICE) == []


def test_of_many_rooms_all_can_be_marked_as_read_at_once() -> None:
    assert labels(Category.MESSAGE, is_summary=True) == ["Mark all as read"]


def offered(capabilities: set[str], profile: ServerProfile = SAFE) -> list[str]:
    actions = actions_for([make_content()], is_summary=False)
    return [action.key for action in offer(make_notification(actions=actions), capabilities, profile)]


def test_where_texts_can_be_typed_into_a_popup_replying_is_that() -> None:
    assert offered(ALL) == ["default", "inline-reply", "mark-read", "mute"]


def test_elsewhere_replying_opens_the_room() -> None:
    assert offered({"actions"}) == ["default", "reply", "mark-read", "mute"]
    assert kind_of("reply") is kind_of("default") is kind_of("inline-reply") is ActionKind.OPEN


def test_no_two_buttons_do_the_same() -> None:
    """Where the click on all of a popup is a button, and replying opens the room as well."""
    assert offered({"actions"}, XFCE) == ["default", "mark-read", "mute"]
    assert offered(ALL, XFCE) == ["default", "inline-reply", "mark-read", "mute"]
    call = actions_for([make_content(category=Category.CALL, can_decline=True)], is_summary=False)
    assert shown_labels(call, XFCE) == ["Answer", "Decline"]
    assert shown_labels(call, DUNST) == ["Open", "Answer", "Decline"]


def test_a_server_gets_as_many_buttons_as_it_shows_with_labels_that_can_be_read_there() -> None:
    message = actions_for([make_content()], is_summary=False)
    spans = ask_span(ActionRequest(ActionKind.MUTE, ROOM, "Lunch"), ME).actions
    long = Action("mark-read", "Mark as unread")
    assert shown_labels(message, LXQT) == ["Open", "Read", "Mute…"]
    assert shown_labels(spans, LXQT) == ["1 hour", "1 day", "For ever"], "where the click would be one too many"
    assert shown_labels((long,), LXQT) == ["Open", "Mark as…"]
    in_a_group = actions_for([make_content(room_title="Lunch", is_direct=False)], is_summary=False)
    assert shown_labels(in_a_group, BUDGIE) == ["Reply", "Mark as read", "Mute…", "Open"]
    assert shown_labels(in_a_group, GNOME) == ["Open", "Reply in Lunch", "Mark as read", "Mute…"]
    assert shown_labels((*spans, long), GNOME) == ["Open", "For an hour", "For a day", "For ever"]


def test_where_the_action_after_the_click_has_no_button_the_click_comes_last() -> None:
    assert offered({"actions"}, BUDGIE) == ["reply", "mark-read", "mute", "default"]


def test_a_server_without_actions_gets_none() -> None:
    assert offered({"body", "inline-reply"}) == []


@pytest.mark.parametrize("key", ["", "Default", "mark-read ", "hour", "\0", "x" * 100_000])
def test_a_key_that_is_none_of_ours_means_nothing(key: str) -> None:
    assert kind_of(key) is None


def test_what_a_popup_is_about_is_its_rooms_and_the_newest_event_of_each() -> None:
    deliveries = [
        make_delivery("$a", room_id=OTHER_ROOM, content=make_content(room_title="Other")),
        make_delivery("$b"),
        make_delivery("$c"),
    ]
    assert action_requests(deliveries) == [
        ActionRequest(ActionKind.OPEN, ROOM, "Lunch", EventId("$c")),
        ActionRequest(ActionKind.OPEN, OTHER_ROOM, "Other", EventId("$a")),
    ]


def test_rooms_that_take_turns_stand_in_the_order_of_their_newest_messages() -> None:
    turns = [ROOM, OTHER_ROOM, ROOM, *(RoomId(f"!r{n}:example.org") for n in range(MAX_REQUESTS - 1)), OTHER_ROOM]
    deliveries = [make_delivery(f"$e{n}", room_id=room_id) for n, room_id in enumerate(turns)]
    requests = action_requests(deliveries)
    assert [request.event_id for request in requests] == [each.event_id for each in reversed(deliveries[3:])], (
        "the room of which the user saw the oldest news is the one that is left out"
    )


def test_a_conversation_of_two_is_named_by_the_other_one() -> None:
    (request,) = action_requests([make_delivery(f"invite:{ROOM}:0", content=make_content(is_direct=True))])
    assert request == ActionRequest(ActionKind.OPEN, ROOM, "Alice", None, direct_with=ALICE)


def test_an_invite_from_nobody_is_a_conversation_with_nobody() -> None:
    (request,) = action_requests([make_delivery(f"invite:{ROOM}:0", sender="", content=make_content(is_direct=True))])
    assert request.direct_with is None


def test_what_was_erased_is_named_by_its_room_id() -> None:
    assert action_requests([make_delivery("$a", content=None)]) == [
        ActionRequest(ActionKind.OPEN, ROOM, ROOM, EventId("$a"))
    ]


def test_a_word_of_our_own_is_about_no_room() -> None:
    assert action_requests([make_delivery("$a", room_id="")]) == []


def test_one_click_is_about_a_bounded_number_of_rooms() -> None:
    deliveries: list[Delivery] = [make_delivery(room_id=f"!{number}:example.org") for number in range(100)]
    found = action_requests(deliveries)
    assert len(found) == MAX_REQUESTS
    assert found[0].room_id == "!99:example.org"


def test_for_how_long_a_room_is_muted_is_asked() -> None:
    question = ask_span(ActionRequest(ActionKind.MUTE, ROOM, "Lunch"), ME)
    assert question.summary == "Mute Lunch?"
    assert {MuteSpan(action.key) for action in question.actions} == set(MuteSpan)


@pytest.mark.parametrize("kind", ActionKind)
def test_a_failure_names_what_failed_and_why_and_offers_to_try_again(kind: ActionKind) -> None:
    notice = word_failure(
        ActionRequest(kind, ROOM, "Lunch"), "The homeserver cannot be reached.", "Try again later.", ME
    )
    assert "Lunch" in notice.summary
    assert notice.body == "The homeserver cannot be reached. Try again later."
    assert Action("retry", "Try again") in notice.actions
    assert notice.urgency is Urgency.NORMAL


def test_what_was_typed_stays_in_sight_until_it_is_dealt_with() -> None:
    notice = word_failure(ActionRequest(ActionKind.REPLY, ROOM, BOB, text="my\n\nwords"), "No.", "Later.", ME)
    assert notice.body == "No. Later.\nYou wrote: my\n\nwords"
    assert notice.urgency is Urgency.CRITICAL


def test_a_failure_is_as_long_as_a_popup_can_be() -> None:
    notice = word_failure(
        ActionRequest(ActionKind.REPLY, ROOM, "Lunch", text="x" * 100_000), "y" * 100_000, "z" * 100_000, ME
    )
    assert len(notice.body) <= 1000
    assert notice.body.count("x") > 500
