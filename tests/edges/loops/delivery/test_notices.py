"""What the user is told of trouble: once while it lasts, taken back when it is over, and told again the next time."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.stage import DeliveryStage, WallClock, running
from fakes.desktop import FakeDesktop
from fakes.notices import FakeNotices
from heliograph.core.delivery import RetryLater
from heliograph.core.notification import Action, Notification, Urgency
from heliograph.loops.delivery.notices import MAX_QUESTIONS, AccountNotices
from heliograph.ports.notices import Cure
from support.builders import ME
from support.waiting import until

DISK = "Heliograph cannot write to disk"


class Stage:
    """The notices of one account, on a desktop."""

    def __init__(self) -> None:
        self.desktop = FakeDesktop()
        self.notices = AccountNotices(self.desktop, ME, lambda: None)

    @property
    def on_screen(self) -> list[str]:
        return [each.summary for each in self.desktop.on_screen.values()]

    async def dismiss(self) -> None:
        """The user closes what is shown."""
        for popup_id in list(self.desktop.on_screen):
            self.desktop.dismiss(popup_id)


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.desktop.listen(lambda signal: stage.notices.hear(signal) if hasattr(signal, "popup") else None)  # type: ignore[arg-type]
    return stage


async def test_trouble_that_lasts_is_told_once_and_again_the_next_time(stage: Stage) -> None:
    for month in (1, 3):
        for _ in range(3):
            stage.notices.tell(DISK, "Free some space.", about="disk")
            assert not await stage.notices.show()
            assert stage.on_screen == [DISK]
        assert len(stage.desktop.shown) == {1: 1, 3: 2}[month]
        stage.notices.withdraw("disk")
        assert not await stage.notices.show()
        assert stage.on_screen == []


async def test_trouble_that_the_user_has_seen_and_closed_stays_closed_until_it_is_new(stage: Stage) -> None:
    stage.notices.tell(DISK, "Free some space.", about="disk")
    await stage.notices.show()
    await stage.dismiss()
    stage.notices.tell(DISK, "Free some space: still.", about="disk")
    await stage.notices.show()
    stage.desktop.appear()
    stage.notices.forget_popups()
    await stage.notices.show()
    assert stage.on_screen == []
    stage.notices.withdraw("disk")
    stage.notices.tell(DISK, "Free some space.", about="disk")
    await stage.notices.show()
    assert stage.on_screen == [DISK]


async def test_trouble_that_still_lasts_comes_back_with_a_new_notification_server(stage: Stage) -> None:
    stage.notices.tell("It happened", "It is over.")
    stage.notices.tell(DISK, "Free some space.", about="disk")
    await stage.notices.show()
    stage.desktop.appear()
    stage.notices.forget_popups()
    await stage.notices.show()
    assert stage.on_screen == [DISK]


async def test_what_is_told_in_other_words_takes_the_place_of_what_is_on_screen(stage: Stage) -> None:
    stage.notices.tell(DISK, "It is full.", about="disk")
    await stage.notices.show()
    stage.notices.tell(DISK, "It is broken.", about="disk")
    await stage.notices.show()
    assert stage.desktop.bodies == ["It is broken."]


async def test_what_is_reworded_or_told_anew_while_the_desktop_hangs_is_shown_in_one_place(stage: Stage) -> None:
    stage.desktop.hang()
    stage.notices.tell(DISK, "It is full.", about="disk")
    stage.notices.tell("No client", "Install one.")
    showing = asyncio.create_task(stage.notices.show())
    await asyncio.sleep(0)
    stage.notices.tell(DISK, "It is broken.", about="disk")
    stage.desktop.answer()
    assert await showing, "the new words are still to be shown"
    assert not await stage.notices.show()
    assert stage.desktop.bodies == ["It is broken.", "Install one."]


async def test_trouble_that_ended_before_it_could_be_shown_is_not_shown(stage: Stage) -> None:
    stage.desktop.troubles.append(RetryLater(10, "busy"))
    stage.notices.tell(DISK, "Free some space.", about="disk")
    assert await stage.notices.show()
    stage.notices.withdraw("disk")
    await asyncio.wait_for(stage.notices.all_told(), 10)
    assert not await stage.notices.show()
    assert stage.desktop.shown == []


async def test_trouble_stays_on_screen_and_what_happened_may_run_out(stage: Stage) -> None:
    stage.notices.tell(DISK, "Free some space.", about="disk")
    stage.notices.tell("It happened", "It is over.")
    await stage.notices.show()
    assert [each.urgency for each in stage.desktop.on_screen.values()] == [Urgency.CRITICAL, Urgency.NORMAL]


async def test_what_happens_again_is_told_again(stage: Stage) -> None:
    for _ in range(2):
        stage.notices.tell("No Matrix client could be opened", "Install one.")
        await stage.notices.show()
        assert len(stage.on_screen) == 1
    await stage.dismiss()
    stage.notices.tell("No Matrix client could be opened", "Install one.")
    await stage.notices.show()
    assert len(stage.desktop.shown) == 3


async def test_a_click_on_the_cure_begins_it_and_takes_the_notice_away_until_it_is_told_again(stage: Stage) -> None:
    begun: list[str] = []
    for times in (1, 2):
        cure = Cure("Unlock", lambda: begun.append("the cure"))
        stage.notices.tell("The keyring is locked", "Unlock it.", about="keyring", cure=cure)
        await asyncio.wait_for(_show_all(stage), 10)
        stage.desktop.press("Unlock")
        assert len(begun) == times
        await stage.notices.show()
        assert stage.on_screen == []


async def test_trouble_that_is_another_by_now_has_the_button_of_now(stage: Stage) -> None:
    begun: list[str] = []
    for label in ("Unlock", "Start"):
        cure = Cure(label, lambda label=label: begun.append(label))  # type: ignore[misc]
        stage.notices.tell(f"{label} it", "By the button.", about="keyring", cure=cure)
        await stage.notices.show()
    stage.desktop.press("Start")
    assert begun == ["Start"]


async def _show_all(stage: Stage) -> None:
    await stage.notices.show()
    await stage.notices.all_told()


async def test_many_questions_take_no_notice_of_trouble_away(stage: Stage) -> None:
    stage.notices.tell(DISK, "Free some space.", about="disk")
    for number in range(MAX_QUESTIONS + 1):
        stage.notices.ask(f"question {number}", Notification(f"Question {number}", "", ME), pytest.fail)
    await stage.notices.show()
    assert DISK in stage.on_screen
    assert "Question 0" not in stage.on_screen
    assert len(stage.on_screen) == MAX_QUESTIONS + 1


@pytest.mark.expected_log("Deliveries wait for the disk", times=2)
async def test_a_disk_that_takes_nothing_of_what_is_shown_is_told_each_time_and_without_haste(
    clock: WallClock,
) -> None:
    stage = DeliveryStage(clock)
    async with running(stage.loop):
        for month in (1, 3):
            stage.ledger.is_full = True
            stage.loop.wake()
            await until(lambda: stage.desktop.on_screen)
            before = stage.changes
            await asyncio.sleep(600)
            assert stage.changes - before <= 121, "rounds of the loop"
            stage.ledger.is_full = False
            await until(lambda: not stage.desktop.on_screen)
            assert len(stage.desktop.shown) == {1: 1, 3: 2}[month]


async def test_the_fake_and_the_real_notices_agree_on_what_is_told(stage: Stage) -> None:
    """The fake stands for the real ones in the loops' tests."""
    fake = FakeNotices()
    counts = []
    for _ in range(2):
        for notices in (fake, stage.notices):
            notices.tell("It happened", "It is over.")
            for _ in range(2):
                notices.tell(DISK, "Free some space.", about="disk")
            notices.withdraw("never told")
        await stage.notices.show()
        counts.append((len(fake.told), len(stage.desktop.shown)))
        for notices in (fake, stage.notices):
            notices.withdraw("disk")
    assert counts == [(2, 2), (4, 4)]


async def test_the_fake_and_the_real_notices_agree_on_what_is_asked(stage: Stage) -> None:
    fake, answers = FakeNotices(), list[str]()
    for notices in (fake, stage.notices):
        notices.ask("gone", Notification("Gone?", "", ME), pytest.fail)
        notices.withdraw("gone")
        notices.ask("match", Notification("Old?", "", ME), pytest.fail)
        notices.ask("match", Notification("New?", "", ME, actions=(Action("yes", "Yes"),)), answers.append)
    await stage.notices.show()
    assert stage.on_screen == [fake.question.summary] == ["New?"]
    fake.answer("Yes")
    stage.desktop.press("Yes")
    await stage.notices.show()
    assert answers == ["yes", "yes"]
    assert (fake.questions, stage.desktop.on_screen) == ({}, {})
