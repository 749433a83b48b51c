"""Composes what the notification of one event says, reduced to what privacy lets the ledger keep."""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.events import Event
from heliograph.core.notification import Category
from heliograph.core.popups.privacy import Level, reduce
from heliograph.core.push.verdict import Verdict
from heliograph.core.record import Content
from heliograph.core.room import RoomFacts
from heliograph.core.sync.calls import call_id_of, can_decline, miss, rings_until
from heliograph.core.sync.invites import is_invite_id
from heliograph.core.sync.situation import Situation
from heliograph.core.text.messages import Words, category_of, mark_unverified, word_event, word_invite
from heliograph.core.text.names import word_name


class Composer:
    """Composes the contents of deliveries. As with `Judge`, `situation.account` has the sync's account data."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._me = situation.me
        self._late = frozenset(event.event_id for event in situation.late)

    def compose(self, event: Event, verdict: Verdict, facts: RoomFacts) -> Content:
        """What the notification of this event says, by the verdict as loudly as that wants it.

        What privacy does not show is not kept either, so it is cut here, before anything is committed. Names are kept,
        since quiet and the inbox go by them. A lock of the session only changes what is shown of what is kept.
        Test: test_what_is_not_shown_is_not_kept_and_its_thread_is_not_asked_for.
        """
        content = self._compose_invite(event, facts) if is_invite_id(event.event_id) else self._tell(event, facts)
        content = replace(content, is_highlight=verdict.highlight, sound=verdict.sound)
        if content.category is Category.CALL:
            content = self._ring(content, event)
        return reduce(content, self._level(event, facts))

    def word_edit(self, event: Event, facts: RoomFacts) -> Words | None:
        """The words of an edit, for the delivery that it replaces. None if privacy shows no words in this room."""
        return self._word(event) if self._level(event, facts) is Level.FULL else None

    def _compose_invite(self, event: Event, facts: RoomFacts) -> Content:
        # The room is not among the user's, so only the invite itself says whether it is a direct chat.
        is_direct = event.content.get("is_direct") is True and not facts.is_space
        words = Words(word_invite(is_direct=is_direct, is_space=facts.is_space))
        content = self._content(event, facts, words, is_direct=is_direct)
        avatar = content.avatar if self._situation.account.shows_invite_avatars else None
        return replace(content, avatar=avatar, category=Category.INVITE)

    def _tell(self, event: Event, facts: RoomFacts) -> Content:
        is_direct = facts.is_direct(self._situation.account.direct_rooms)
        return replace(self._content(event, facts, self._word(event), is_direct=is_direct), category=category_of(event))

    def _content(self, event: Event, facts: RoomFacts, words: Words, *, is_direct: bool) -> Content:
        return Content(
            room_title=word_name(facts.title(self._me)),
            sender_name=facts.name_of(event.sender),
            text=words.text,
            markup=words.markup,
            is_direct=is_direct,
            avatar=facts.picture(event.sender, is_direct=is_direct),
            thread=None if event.thread_root is None else self._situation.threads.get(event.thread_root, ""),
        )

    def _ring(self, content: Content, event: Event) -> Content:
        until_ms = rings_until(event, self._situation.now_ms, is_late=event.event_id in self._late)
        if until_ms is None:
            return miss(content)
        return replace(content, rings_until_ms=until_ms, can_decline=can_decline(event), call_id=call_id_of(event))

    def _level(self, event: Event, facts: RoomFacts) -> Level:
        # By the name as it is shown, since users copy the names they list from there.
        return self._situation.privacy.level({event.room_id, event.sender}, word_name(facts.title(self._me)))

    def _word(self, event: Event) -> Words:
        clear = self._situation.clear.get(event.event_id)
        words = word_event(event)
        return mark_unverified(words) if clear is not None and clear.is_doubtful else words
