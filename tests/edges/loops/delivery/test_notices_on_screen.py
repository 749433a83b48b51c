"""Notices and questions of our own, through the delivery loop."""

from __future__ import annotations

import asyncio

import pytest

from edges.loops.delivery.outcome import shown
from edges.loops.stage import DeliveryStage, running
from heliograph.core.delivery import RetryLater
from heliograph.core.notification import Action, Activated, Notification
from support.builders import make_delivery
from support.waiting import until

# Notices of our own


async def test_a_notice_waits_for_a_server(stage: DeliveryStage) -> None:
    stage.desktop.vanish()
    stage.notices.tell("Signed out", "Log in again.")
    async with running(stage.loop):
        told = asyncio.create_task(stage.notices.all_told())
        await asyncio.sleep(60)
        assert not told.done()
        stage.desktop.appear()
        await asyncio.wait_for(told, 60)


async def test_a_notice_is_tried_until_it_is_shown(stage: DeliveryStage) -> None:
    stage.desktop.troubles.extend([RetryLater(10, "hung")] * 3)
    stage.notices.tell("Signed out", "Log in again.")
    async with running(stage.loop):
        await asyncio.wait_for(stage.notices.all_told(), 120)
    assert stage.desktop.bodies == ["Log in again."]


async def test_nothing_to_tell_is_told_at_once(stage: DeliveryStage) -> None:
    await stage.notices.all_told()


# Questions of our own

QUESTION = Notification("Same?", "🐶", "@me:example.org", actions=(Action("yes", "Yes"), Action("no", "No")))


async def test_a_question_is_answered_once_and_goes(stage: DeliveryStage) -> None:
    answers: list[str] = []
    async with running(stage.loop):
        stage.notices.ask("q", QUESTION, answers.append)
        await until(lambda: stage.desktop.on_screen, "the question")
        [popup_id] = stage.popup_ids
        stage.desktop.signal(Activated(stage.desktop.popup(popup_id), "yes"))
        stage.desktop.signal(Activated(stage.desktop.popup(popup_id), "no"))
        await until(lambda: not stage.desktop.on_screen, "its end")
    assert answers == ["yes"]


async def test_a_question_that_is_taken_back_goes(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        stage.notices.ask("q", QUESTION, pytest.fail)
        await until(lambda: stage.desktop.on_screen, "the question")
        stage.notices.withdraw("q")
        await until(lambda: not stage.desktop.on_screen, "its end")
        stage.notices.withdraw("q")


async def test_a_click_beside_the_answers_asks_again(stage: DeliveryStage) -> None:
    answers: list[str] = []
    async with running(stage.loop):
        stage.notices.ask("q", QUESTION, answers.append)
        await until(lambda: stage.desktop.on_screen, "the question")
        stage.desktop.click(stage.popup_ids[0])
        await until(lambda: stage.desktop.calls == 2, "the question again")
    assert answers == []
    assert stage.opener.opened == []


async def test_a_question_comes_back_with_a_new_notification_server(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        stage.notices.ask("q", QUESTION, pytest.fail)
        await until(lambda: stage.desktop.on_screen, "the question")
        stage.desktop.vanish()
        stage.desktop.appear()
        await until(lambda: stage.desktop.on_screen, "the question again")


async def test_a_question_that_was_put_aside_stays_aside(stage: DeliveryStage) -> None:
    async with running(stage.loop):
        stage.notices.ask("q", QUESTION, pytest.fail)
        await until(lambda: stage.desktop.on_screen, "the question")
        stage.desktop.dismiss(stage.popup_ids[0])
        await stage.commit(make_delivery("$a"))
        await shown(stage, "$a")
    assert [each.summary for each in stage.desktop.on_screen.values()] != ["Same?"]
