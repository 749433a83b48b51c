"""Makes the scenes of `heliograph test --walk`: one thing after the other to look at, and what should be seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from heliograph.core.delivery import State
from heliograph.core.notification import Category, Notification, Popup
from heliograph.core.popups.arrange import Show, arrange
from heliograph.core.popups.privacy import Level
from heliograph.core.popups.profile import Layout
from heliograph.core.popups.samples import ME, draw_picture, sample_message
from heliograph.core.record import Delivery, PopupRecord
from heliograph.core.text.clean import clean_text
from heliograph.core.text.messages import ENCRYPTED, TEXT_LIMIT
from heliograph.core.value_type import value_type


class Cue(Enum):
    """What happens in a scene."""

    SHOW = "show"
    """The popup of the scene before is taken away, and another one comes."""
    CHANGE = "change"
    """The popup of the scene before gets other contents."""
    WITHDRAW = "withdraw"
    """The popup of the scene before is taken away."""
    ASK = "ask"
    """Nothing: one more question about the scene before."""


@value_type
class Scene:
    """One thing to look at."""

    name: str
    cue: Cue
    expected: str
    """What should be seen and heard, for the user."""
    notification: Notification | None = None
    """What is shown by SHOW and CHANGE."""


def walk_scenes(layout: Layout) -> list[Scene]:
    """The scenes in their order. Their notifications are made as real ones are, in the server's `layout`."""
    show = _Showing(layout)
    return [
        *_direct_scenes(show),
        *_group_scenes(show),
        *_encrypted_scenes(show),
        *_call_scenes(show),
        *_text_scenes(show),
    ]


def _direct_scenes(show: _Showing) -> list[Scene]:
    message = sample_message("Alice", "Are you coming to lunch?", is_direct=True, sound="default")
    edited = sample_message("Alice", "Are you coming to dinner?", is_direct=True, sound="default")
    picture = draw_picture()
    return [
        Scene(
            "direct message",
            Cue.SHOW,
            "A notification of Alice comes up, with her words, a picture (a light disc on blue) and buttons.",
            replace(show([message]), picture=picture),
        ),
        Scene("sound", Cue.ASK, "You heard one sound with it."),
        Scene(
            "icon", Cue.ASK, "If the notification has an icon of Heliograph as well, it can be told from the ground."
        ),
        Scene(
            "edit",
            Cue.CHANGE,
            'Where it is seen, on the screen or in your desktop\'s list, "dinner" stands in place of "lunch". Nothing'
            " came up anew, and nothing sounded.",
            replace(show([edited], shown=1), picture=picture),
        ),
        Scene("deleted message", Cue.WITHDRAW, "It is gone, also from your desktop's list."),
        Scene(
            "reply button",
            Cue.SHOW,
            "Press Reply; if you can type into the notification, type a word and send that. It goes nowhere.",
            show([message]),
        ),
    ]


def _group_scenes(show: _Showing) -> list[Scene]:
    chatter = sample_message("Bob", "Pizza?")
    mention = sample_message("Carol", "you: what do you say?", is_highlight=True, sound="default")
    invite = sample_message("Dave", "Invited you to this room", room="Reading group", category=Category.INVITE)
    # One room more than `_Showing` allows, so that these become a summary.
    many = [sample_message("Erin", f"News {number}", room=f"Room {number}", sound="default") for number in range(1, 7)]
    return [
        Scene(
            "group message", Cue.SHOW, "A notification of the room Lunch comes up, without a sound.", show([chatter])
        ),
        Scene(
            "mention after it",
            Cue.CHANGE,
            "The room comes up again, with a sound, and Carol's words can be read.",
            show([chatter, mention], shown=1),
        ),
        Scene(
            "invite",
            Cue.SHOW,
            "An invite to Reading group comes up, with the buttons Accept and Decline.",
            show([invite]),
        ),
        Scene("summary", Cue.SHOW, "One notification tells of 6 new messages in 6 rooms.", show(many)),
    ]


def _encrypted_scenes(show: _Showing) -> list[Scene]:
    locked = sample_message("Alice", ENCRYPTED, is_direct=True, sound="default")
    opened = sample_message("Alice", "The key is under the mat.", is_direct=True, sound="default")
    return [
        Scene("encrypted message", Cue.SHOW, f'It says "{ENCRYPTED}".', show([locked])),
        Scene(
            "its key came",
            Cue.CHANGE,
            "Where it is seen, it now says where the key is. Nothing came up anew, and nothing sounded.",
            show([opened], shown=1),
        ),
        Scene(
            "message while the screen is locked",
            Cue.SHOW,
            "It says that Alice wrote, and not what.",
            show([opened], level=Level.SENDER),
        ),
    ]


def _call_scenes(show: _Showing) -> list[Scene]:
    call = sample_message("Alice", "Incoming call", is_direct=True, category=Category.CALL, sound="ring")
    missed = sample_message("Alice", "Missed call", is_direct=True)
    return [
        Scene(
            "call",
            Cue.SHOW,
            "A call comes up with the button Answer, sounds, and stays until you answer this.",
            show([call]),
        ),
        Scene(
            "missed call",
            Cue.CHANGE,
            "It says that you missed a call, where the call was seen or in your desktop's list.",
            show([missed], shown=1),
        ),
    ]


def _text_scenes(show: _Showing) -> list[Scene]:
    plain = "<b>this is not bold</b> & 1 < 2"
    styled = sample_message("Bob", "at noon, not later", markup="at <b>noon</b>, not later", thread="When?")
    code = sample_message("Bob", "if hungry:\n    eat()", is_direct=True)
    sentences = clean_text("This sentence is repeated until the end. " * 20, TEXT_LIMIT)
    return [
        Scene("marks", Cue.SHOW, f"The text is {plain}", show([sample_message("Carol", plain)])),
        Scene(
            "emphasis", Cue.SHOW, "The title names a thread; the word noon is bold, or all is plain.", show([styled])
        ),
        Scene(
            "code",
            Cue.SHOW,
            "eat() stands below the word if and further to the right, where there are lines.",
            show([code]),
        ),
        Scene(
            "long message",
            Cue.SHOW,
            "The notification is not too large, and its buttons can be read.",
            show([sample_message("Alice", sentences, is_direct=True)]),
        ),
        Scene(
            "notice",
            Cue.SHOW,
            "Heliograph itself says that this is only a test.",
            Notification("The keyring is locked", "This is only a test.", ME, category=Category.DEVICE),
        ),
    ]


@value_type
class _Showing:
    layout: Layout

    def __call__(self, deliveries: Sequence[Delivery], *, shown: int = 0, level: Level = Level.FULL) -> Notification:
        """The notification of these deliveries, of which the first `shown` are on screen already."""
        key = deliveries[0].room_id
        on_screen = [replace(each, state=State.SHOWN, popup_key=key) for each in deliveries[:shown]]
        placed = [replace(each, position=place) for place, each in enumerate([*on_screen, *deliveries[shown:]])]
        record = PopupRecord(key, Popup("", 1), digest="", is_stale=True, size=shown)
        (step,) = arrange(
            placed, [record] if shown else (), me=ME, max_rooms=5, level=lambda _: level, layout=self.layout
        )
        assert isinstance(step, Show)
        return step.notification
