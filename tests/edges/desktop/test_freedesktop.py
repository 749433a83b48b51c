"""What our edge makes of notification servers that come, go, hang, fail and repeat themselves."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from dataclasses import replace

import pytest

from conftest import Home
from fakes.notification_profiles import BARE, DUNST, GNOME, PLAIN, PLASMA, SWAYNC, Profile
from fakes.notification_server import Misbehaviour, NotificationServer
from heliograph.core.delivery import Declined, Done, RetryLater
from heliograph.core.notification import (
    Activated,
    Category,
    Closed,
    Closing,
    DesktopSignal,
    Picture,
    Popup,
    Replied,
    ServerChanged,
)
from heliograph.core.popups.actions import actions_for
from heliograph.desktop.freedesktop import FreedesktopDesktop
from support.builders import ME, make_content, make_notification
from support.buses import PrivateBus
from support.waiting import until

pytestmark = pytest.mark.usefixtures("server")

Signals = list[DesktopSignal]


async def show(desktop: FreedesktopDesktop, body: str = "hello", replaces: Popup | None = None) -> Popup:
    outcome = await desktop.show(make_notification(body=body), replaces)
    assert isinstance(outcome, Done), outcome
    return outcome.value


async def test_a_message_has_all_that_desktops_name_and_group_it_by(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await show(desktop)
    (shown,) = server.shown
    assert (shown.app_name, shown.summary, shown.body, shown.expire_timeout) == ("Heliograph", "Alice", "hello", -1)
    assert shown.app_icon.endswith("/io.github.heliograph.svg")
    assert shown.actions == ["default", "Open"]
    assert shown.hints == {
        "urgency": 1,
        "category": "im.received",
        "desktop-entry": "io.github.heliograph",
        "x-kde-appname": "heliograph",
        "transient": False,
        "suppress-sound": True,
        "x-kde-origin-name": ME,
    }


async def test_a_call_sounds_like_one(server: NotificationServer, desktop: FreedesktopDesktop) -> None:
    for category in (Category.MESSAGE, Category.CALL):
        await desktop.show(make_notification(category=category, sound="default"), None)
    # Nobody else plays here.
    assert [shown.hints["sound-name"] for shown in server.shown] == ["message-new-instant", "phone-incoming-call"]
    assert not any("suppress-sound" in shown.hints for shown in server.shown)


async def test_only_the_body_is_escaped_and_only_where_it_is_markup(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    text = "a < b & 'c' <img src='/etc/passwd'>"
    await desktop.show(make_notification(summary=text, body=text), None)
    await server.restart(PLAIN)
    await until(lambda: desktop.server is not None)
    await desktop.show(make_notification(summary=text, body=text), None)
    marked_up, plain = server.shown
    assert marked_up.body == "a &lt; b &amp; 'c' &lt;img src='/etc/passwd'&gt;"
    assert plain.body == text
    assert marked_up.summary == plain.summary == text


async def test_a_server_without_bodies_or_actions_gets_the_message_as_summary(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await server.restart(BARE)
    await until(lambda: desktop.server is not None)
    await show(desktop, body="see you\nat noon")
    (shown,) = server.shown
    assert (shown.summary, shown.body, shown.actions) == ("Alice: see you at noon", "", [])


FIRM = "\u00a0" * 4


@pytest.mark.parametrize(
    ("profile", "body"),
    [
        (GNOME, f"<b>if</b> x:\n{FIRM}y &lt; 1"),
        # It takes a firm space for a blank as well, and only leaves character references as they are.
        (PLASMA, f"<b>if</b> x:\n{'&#160;' * 4}y &lt; 1"),
        (PLAIN, "if x:\n    y < 1"),
    ],
    ids=lambda value: value.name if isinstance(value, Profile) else None,
)
async def test_code_keeps_its_indentation_whatever_a_server_makes_of_spaces(
    server: NotificationServer, desktop: FreedesktopDesktop, profile: Profile, body: str
) -> None:
    await server.restart(profile)
    await until(lambda: desktop.server is not None)
    await desktop.show(make_notification(body="if x:\n    y < 1", markup="<b>if</b> x:\n    y &lt; 1"), None)
    await desktop.show(make_notification(body="if x:\n    y < 1"), None)
    assert [shown.body for shown in server.shown] == [body, body.replace("<b>", "").replace("</b>", "")]


@pytest.mark.parametrize(
    ("profile", "side", "has_icon"),
    [(GNOME, 96, True), (DUNST, 48, True), (replace(GNOME, name="cinnamon"), 96, False)],
    ids=lambda value: value.name if isinstance(value, Profile) else None,
)
async def test_each_server_gets_the_picture_that_it_shows_well(
    server: NotificationServer, desktop: FreedesktopDesktop, profile: Profile, side: int, has_icon: bool
) -> None:
    await server.restart(profile)
    await until(lambda: desktop.server is not None)
    await desktop.show(make_notification(picture=Picture(96, 96, bytes(96 * 96 * 4))), None)
    await desktop.show(make_notification(), None)
    with_picture, without = server.shown
    assert with_picture.hints["image-data"][:4] == (side, side, 4 * side, True)
    assert bool(with_picture.app_icon) is has_icon
    assert without.app_icon


async def test_capabilities_are_asked_once_for_each_life_of_the_server(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await asyncio.gather(*(show(desktop, body=f"number {number}") for number in range(5)))
    assert server.calls.count("GetCapabilities") == server.calls.count("GetServerInformation") == 1
    await server.restart(GNOME)
    await until(lambda: server.calls.count("GetCapabilities") == 2)
    await until(lambda: desktop.server is not None and desktop.server.known_traits is not None)
    assert desktop.server is not None
    assert desktop.server.known_traits is not None
    assert desktop.server.known_traits.title == "gnome-shell 48.7"


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.HANG, Misbehaviour.HANG_ON_NOTIFY])
@pytest.mark.expected_log("does not say who it is", times=(0, 1))
async def test_a_hung_server_delays_and_shows_once_it_answers(
    server: NotificationServer, desktop: FreedesktopDesktop, misbehaviour: Misbehaviour
) -> None:
    server.misbehaviour = misbehaviour
    outcome = await desktop.show(make_notification(), None)
    assert isinstance(outcome, RetryLater)
    assert outcome.after is not None
    server.misbehaviour = Misbehaviour.NONE
    await show(desktop)


async def test_what_comes_up_after_it_was_given_up_is_closed_again(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    server.misbehaviour = Misbehaviour.HANG_ON_NOTIFY
    assert isinstance(await desktop.show(make_notification(), None), RetryLater)
    server.release()
    again = await show(desktop)
    await until(lambda: list(server.on_screen) == [again.id])
    assert len(server.shown) == 2


async def test_a_replacement_that_was_given_up_and_came_after_all_stays(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    popup = await show(desktop)
    server.misbehaviour = Misbehaviour.HANG_ON_NOTIFY
    assert isinstance(await desktop.show(make_notification(body="two"), popup), RetryLater)
    server.release()
    assert await show(desktop, body="two", replaces=popup) == popup
    assert "CloseNotification" not in server.calls


@pytest.mark.parametrize(
    ("misbehaviour", "kind", "after"),
    [
        (Misbehaviour.REFUSE, Declined, None),
        (Misbehaviour.EXCESS, RetryLater, 1.1),
        (Misbehaviour.STARTING, RetryLater, 2.0),
        (Misbehaviour.FAIL, RetryLater, 10.0),
        (Misbehaviour.NONSENSE, RetryLater, 10.0),
    ],
)
@pytest.mark.expected_log("does not say who it is", times=(0, 1))
async def test_an_error_is_an_outcome(
    server: NotificationServer,
    desktop: FreedesktopDesktop,
    misbehaviour: Misbehaviour,
    kind: type[Declined | RetryLater],
    after: float | None,
) -> None:
    server.misbehaviour = misbehaviour
    outcome = await desktop.show(make_notification(), None)
    assert type(outcome) is kind
    assert getattr(outcome, "after", None) == after
    server.misbehaviour = Misbehaviour.NONE
    await show(desktop)


async def test_a_server_that_has_its_name_before_its_object_is_known_soon_and_nobody_is_warned(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await server.stop()
    await until(lambda: desktop.server is None)
    server.misbehaviour = Misbehaviour.STARTING
    await server.start()
    await until(lambda: "GetServerInformation" in server.calls, "the question")
    server.misbehaviour = Misbehaviour.NONE
    await until(lambda: desktop.server_name == "dunst 1.9.0 (2022-06-27)")


async def test_a_server_that_dies_of_a_notification_delays_it(
    server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    server.misbehaviour = Misbehaviour.DIE
    outcome = await desktop.show(make_notification(), None)
    assert isinstance(outcome, RetryLater)
    assert outcome.after in (None, 2.0)
    await until(lambda: signals[-1] == ServerChanged(None))
    server.misbehaviour = Misbehaviour.NONE
    await server.restart()
    await until(lambda: signals[-1] != ServerChanged(None))
    await show(desktop)


async def test_a_missing_server_delays_until_it_appears(
    server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    await server.stop()
    await until(lambda: signals[-1] == ServerChanged(None))
    assert await desktop.show(make_notification(), None) == RetryLater(None, "no notification server is running")
    await server.start()
    await until(lambda: signals[-1] != ServerChanged(None))
    popup = await show(desktop)
    assert signals[-1] == ServerChanged(popup.server)


async def test_a_restarted_server_is_another_one(
    server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    before = await show(desktop)
    await server.restart()
    await until(lambda: len(signals) == 3)
    assert await desktop.close(before) == Done(None)
    after = await show(desktop, replaces=before)
    assert signals == [ServerChanged(before.server), ServerChanged(None), ServerChanged(after.server)]
    assert before.id == after.id
    assert before != after
    assert server.shown[-1].replaces_id == 0
    assert "CloseNotification" not in server.calls


async def test_an_id_used_again_can_be_closed_and_clicked_again(
    server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    server.misbehaviour = Misbehaviour.REUSE_IDS
    for _ in range(2):
        popup = await show(desktop)
        server.act(popup.id)
        server.dismiss(popup.id)
    once = [Activated(popup, "default"), Closed(popup, Closing.DISMISSED)]
    await until(lambda: signals[1:] == once * 2)


async def test_an_id_is_known_before_its_signals(
    server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    server.misbehaviour = Misbehaviour.CLOSE_AT_ONCE
    outcome = await desktop.show(make_notification(), None)
    assert len(signals) == 1
    assert isinstance(outcome, Done)
    await until(lambda: signals[1:] == [Closed(outcome.value, Closing.EXPIRED)])


@pytest.mark.parametrize("profile", [GNOME, PLASMA, SWAYNC], ids=lambda profile: profile.name)
async def test_a_click_brings_the_token_that_came_before_it(
    server: NotificationServer,
    desktop: FreedesktopDesktop,
    signals: Signals,
    profile: Profile,
) -> None:
    await server.restart(profile)
    await until(lambda: len(signals) == 3)
    first, second = await show(desktop, body="one"), await show(desktop, body="two")
    server.act(first.id, token="wayland-1")
    server.act(second.id, token="wayland-2")
    await until(lambda: len(signals) == 7)
    assert [signal for signal in signals if isinstance(signal, Activated)] == [
        Activated(first, "default", "wayland-1"),
        Activated(second, "default", "wayland-2"),
    ]


@pytest.mark.parametrize(
    ("profile", "urgency"), [(GNOME, 0), (PLASMA, 1), (DUNST, 1)], ids=["gnome", "plasma", "dunst"]
)
async def test_a_silent_change_comes_up_again_nowhere(
    server: NotificationServer, desktop: FreedesktopDesktop, profile: Profile, urgency: int
) -> None:
    await server.restart(profile)
    await until(lambda: desktop.server is not None)
    popup = await show(desktop)
    await desktop.show(make_notification(body="changed", is_update=True), popup)
    assert [shown.hints["urgency"] for shown in server.shown] == [1, urgency]
    assert list(server.on_screen) == [server.shown[1].id]


def turn_replies_on(home: Home, text: str = '{"notification-inline-replies": true}') -> None:
    """In the configuration of swaync."""
    (home.config / "swaync").mkdir(parents=True, exist_ok=True)
    (home.config / "swaync/config.json").write_text(text)


MESSAGE_ACTIONS = actions_for([make_content()], is_summary=False)


@pytest.mark.parametrize(
    ("profile", "keys"),
    [
        (DUNST, ["default", "reply", "mark-read", "mute"]),
        (GNOME, ["default", "reply", "mark-read", "mute"]),
        (PLASMA, ["default", "inline-reply", "mark-read", "mute"]),
        (SWAYNC, ["default", "reply", "mark-read", "mute"]),
        (BARE, []),
    ],
    ids=lambda value: value.name if isinstance(value, Profile) else None,
)
async def test_each_server_gets_the_buttons_it_can_show(
    server: NotificationServer, desktop: FreedesktopDesktop, profile: Profile, keys: list[str]
) -> None:
    await server.restart(profile)
    await until(lambda: desktop.server is not None)
    await desktop.show(make_notification(actions=MESSAGE_ACTIONS), None)
    (shown,) = server.shown
    assert shown.actions[::2] == keys
    assert ("x-kde-reply-placeholder-text" in shown.hints) == ("inline-reply" in keys)


@pytest.mark.parametrize("profile", [PLASMA, SWAYNC], ids=lambda profile: profile.name)
@pytest.mark.parametrize("is_closed_first", [False, True])
async def test_what_is_typed_into_a_popup_is_told_once(
    server: NotificationServer,
    desktop: FreedesktopDesktop,
    signals: Signals,
    home: Home,
    profile: Profile,
    is_closed_first: bool,
) -> None:
    turn_replies_on(home)
    await server.restart(profile)
    await until(lambda: len(signals) == 3)
    other = await show(desktop, body="another")
    outcome = await desktop.show(make_notification(actions=MESSAGE_ACTIONS), None)
    assert isinstance(outcome, Done)
    server.reply(outcome.value.id, "on my\nway", is_closed_first=is_closed_first)
    server.signal("NotificationReplied", "us", [outcome.value.id, "on my\nway"])
    server.dismiss(other.id)
    await until(lambda: Closed(other, Closing.DISMISSED) in signals)
    told = [Replied(outcome.value, "on my\nway"), Closed(outcome.value, Closing.DISMISSED)]
    assert signals[3:-1] == (told[::-1] if is_closed_first else told)


async def test_nobody_but_the_server_can_put_words_into_the_users_mouth(
    private_bus: PrivateBus, server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    ours = await show(desktop)
    impostor = NotificationServer(private_bus.address)
    await impostor.connect()
    impostor.signal("NotificationReplied", "us", [ours.id, "I never said that"], receiver=server.shown[0].sender)
    await impostor.stop()
    server.dismiss(ours.id)
    await until(lambda: signals[1:] == [Closed(ours, Closing.DISMISSED)])


async def test_signals_of_other_programs_are_passed_on_as_they_are(
    server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    ours = await show(desktop)
    server.signal("ActionInvoked", "us", [77, "default"])
    server.signal("NotificationClosed", "uu", [77, 9])
    server.dismiss(ours.id)
    await until(lambda: len(signals) == 4)
    foreign = Popup(ours.server, 77)
    assert signals[1:] == [
        Activated(foreign, "default"),
        Closed(foreign, Closing.UNDEFINED),
        Closed(ours, Closing.DISMISSED),
    ]


async def test_malformed_signals_say_nothing(
    server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    ours = await show(desktop)
    server.signal("ActionInvoked", "s", ["default"])
    server.signal("NotificationClosed", "u", [ours.id])
    server.signal("ActivationToken", "ss", ["1", "token"])
    server.signal("NotificationReplied", "uu", [ours.id, 7])
    server.signal("Unheard", "", [])
    server.dismiss(ours.id)
    await until(lambda: signals[1:] == [Closed(ours, Closing.DISMISSED)])


async def test_nobody_but_the_server_can_say_that_a_popup_was_clicked(
    private_bus: PrivateBus, server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    ours = await show(desktop)
    impostor = NotificationServer(private_bus.address)
    await impostor.connect()
    impostor.signal("ActionInvoked", "us", [ours.id, "default"], receiver=server.shown[0].sender)
    await impostor.stop()
    server.dismiss(ours.id)
    await until(lambda: signals[1:] == [Closed(ours, Closing.DISMISSED)])


async def test_a_dead_bus_delays_until_it_is_back(
    private_bus: PrivateBus, server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    before = await show(desktop)
    private_bus.stop()
    await until(lambda: signals[-1] == ServerChanged(None))
    gone = RetryLater(None, "the session bus is not reachable")
    assert await desktop.show(make_notification(), None) == gone
    assert await desktop.close(before) == gone
    private_bus.start()
    await server.restart()
    await until(lambda: signals[-1] != ServerChanged(None))
    after = await show(desktop)
    assert after.server != before.server


async def test_calls_under_way_when_the_bus_dies_end_in_an_outcome(
    private_bus: PrivateBus, server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    server.misbehaviour = Misbehaviour.HANG_ON_NOTIFY
    showing = asyncio.create_task(desktop.show(make_notification(), None))
    await server.until(lambda: "Notify" in server.calls)
    private_bus.stop()
    assert isinstance(await showing, RetryLater)


async def test_a_call_into_a_bus_that_just_died_is_no_fault_of_ours(
    private_bus: PrivateBus, desktop: FreedesktopDesktop, caplog: pytest.LogCaptureFixture
) -> None:
    await show(desktop)
    private_bus.stop()
    assert isinstance(await desktop.show(make_notification(), None), RetryLater)
    gc.collect()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_server_that_goes_while_we_ask_for_it_is_gone(
    private_bus: PrivateBus, server: NotificationServer, signals: Signals
) -> None:
    desktop = FreedesktopDesktop(private_bus.address)
    starting = asyncio.create_task(desktop.start())
    while desktop._watch.bus_id is None:  # noqa: ASYNC110
        await asyncio.sleep(0)
    # Its owner has been asked for. The answer and the news that it is void arrive together.
    time.sleep(0.05)  # noqa: ASYNC251
    server.hang_up()
    time.sleep(0.05)  # noqa: ASYNC251
    assert await starting
    desktop.listen(signals.append)
    assert signals == [ServerChanged(None)]
    await desktop.shut()


async def test_a_server_that_the_bus_can_start_is_told_of_and_started_when_needed(
    private_bus: PrivateBus, server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    await server.stop()
    await until(lambda: signals[-1] == ServerChanged(None))
    private_bus.stop()
    marker = private_bus.services / "started"
    script = private_bus.services / "start"
    script.write_text(f"#!/bin/sh\n: > {marker}\nexec sleep 20\n")
    script.chmod(0o700)
    service = "[D-BUS Service]\nName=org.freedesktop.Notifications\nExec={}\n"
    (private_bus.services / "notifications.service").write_text(service.format(script))
    private_bus.start()
    await until(lambda: isinstance(signals[-1], ServerChanged) and signals[-1].server)
    assert not marker.exists()
    showing = asyncio.create_task(desktop.show(make_notification(), None))
    await until(marker.exists)
    await server.start()
    outcome = await showing
    assert isinstance(outcome, Done)
    assert signals[-1] == ServerChanged(outcome.value.server)
    summoned = signals[-2]
    await server.stop()
    await until(lambda: signals[-2:] == [ServerChanged(None), summoned])


async def test_a_server_that_cannot_be_started_delays_for_long(
    private_bus: PrivateBus, server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    await server.stop()
    private_bus.stop()
    service = "[D-BUS Service]\nName=org.freedesktop.Notifications\nExec=/bin/false\n"
    (private_bus.services / "notifications.service").write_text(service)
    private_bus.start()
    await until(lambda: len(signals) > 2 and signals[-1] != ServerChanged(None))
    outcome = await desktop.show(make_notification(), None)
    assert isinstance(outcome, RetryLater)
    assert outcome.after == 60.0


async def test_nothing_wakes_up_while_nothing_happens(desktop: FreedesktopDesktop) -> None:
    await show(desktop)
    await asyncio.sleep(0.6)  # beyond every time-out of `desktop`
    loop = asyncio.get_running_loop()
    assert [handle for handle in loop._scheduled if not handle.cancelled()] == []  # type: ignore[attr-defined]


# What it says of itself


async def test_what_the_server_says_of_itself_is_told(server: NotificationServer, desktop: FreedesktopDesktop) -> None:
    traits = await desktop.traits()
    assert traits is not None
    assert traits.title == "dunst 1.9.0 (2022-06-27)"
    await server.stop()
    await until(lambda: desktop.server is None)
    assert await desktop.traits() is None


@pytest.mark.parametrize("text", ['{"notification-inline-replies": false}', "{}", "[]", "{", "[" * 100_000])
async def test_where_swaync_hides_it_no_reply_is_typed_and_the_user_is_told_how(
    server: NotificationServer, desktop: FreedesktopDesktop, home: Home, text: str
) -> None:
    turn_replies_on(home, text)
    await server.restart(SWAYNC)
    await until(lambda: desktop.server_name == "SwayNotificationCenter 0.11")
    traits = await desktop.traits()
    assert traits is not None
    assert "inline-reply" not in traits.capabilities
    assert "notification-inline-replies" in traits.hint


async def test_nothing_that_somebody_wrote_is_markup_where_dunst_takes_that_without_saying_so(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await server.restart(replace(DUNST, capabilities=("actions", "body")))
    await until(lambda: desktop.server is not None)
    await desktop.show(make_notification(body="<b>1</b> < 2 & 3 > 2", markup=""), None)
    await server.restart(replace(PLAIN, capabilities=("actions", "body")))
    await until(lambda: desktop.server_name == "plain 1")
    await desktop.show(make_notification(body="<b>1</b>", markup=""), None)
    assert [each.body for each in server.shown] == ["‹b>1‹/b> ‹ 2 & 3 > 2", "<b>1</b>"]


async def test_a_change_that_nobody_needs_to_see_is_up_for_an_instant_where_it_would_come_up_again(
    server: NotificationServer, desktop: FreedesktopDesktop
) -> None:
    await server.restart(SWAYNC)
    await until(lambda: desktop.server_name == "SwayNotificationCenter 0.11")
    popup = await show(desktop)
    await desktop.show(make_notification(body="changed", is_update=True), popup)
    await show(desktop, "news", replaces=popup)
    assert [each.body for each in server.banners.came_up] == ["hello", "news"]
    assert list(server.on_screen) == [popup.id]


async def test_where_nothing_is_replaced_the_old_one_is_closed(
    server: NotificationServer, desktop: FreedesktopDesktop, signals: Signals
) -> None:
    await server.restart(replace(PLAIN, replaces_nothing=True))
    await until(lambda: desktop.server_name == "plain 1")
    popup = await show(desktop, "one")
    again = await show(desktop, "one, two", replaces=popup)
    assert [each.body for each in server.on_screen.values()] == ["one, two"]
    server.dismiss(again.id)
    await until(lambda: Closed(again, Closing.DISMISSED) in signals)
    assert Closed(popup, Closing.CALLED) not in signals
