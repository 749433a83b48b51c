"""One account's popups on the desktop: shows them, changes their words, closes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from heliograph.core.delivery import Declined, Done, NeedsUser, RetryLater, State
from heliograph.core.notification import Category, Notification, Picture, Popup
from heliograph.core.popups.arrange import Close, Fault, Keep, PopupStep, Show, is_summary
from heliograph.core.popups.bursts import BurstWindow, SoundGate
from heliograph.core.record import Delivery, PopupRecord
from heliograph.loops.delivery.outcomes import Outcomes, settle_refused, settle_shown
from heliograph.loops.delivery.retries import Retries
from heliograph.loops.delivery.settings import DeliverySettings
from heliograph.loops.delivery.signals import PopupSignals
from heliograph.ports.desktop import Desktop, Pictures
from heliograph.ports.ledger import Ledger
from heliograph.system.tasks import going_on

log = logging.getLogger(__name__)


class Screen:
    """Takes the steps that `core.popups.arrange` decided on, and notes the outcome of each in `outcomes`.

    `clock` gives milliseconds since 1970. Without `pictures` notifications have none.
    """

    def __init__(
        self,
        ledger: Ledger,
        desktop: Desktop,
        outcomes: Outcomes,
        signals: PopupSignals,
        retries: Retries,
        burst: BurstWindow,
        gate: SoundGate,
        pictures: Pictures | None,
        settings: DeliverySettings,
        clock: Callable[[], int],
    ) -> None:
        self._ledger = ledger
        self._desktop = desktop
        self._outcomes = outcomes
        self._signals = signals
        self._retries = retries
        self._burst = burst
        self._gate = gate
        self._pictures = pictures
        self._settings = settings
        self._clock = clock
        self._server: str | None = None
        self._is_server_new = False

    # The notification server

    @property
    def is_there(self) -> bool:
        """Whether a notification server runs that can show something."""
        return self._server is not None

    def note_server(self, server: str | None) -> None:
        """The notification server is this one from now on; None: there is none."""
        self._server, self._is_server_new = server, True

    async def meet_server(self) -> bool:
        """Has the ledger forget the popups of the server before, if there is another one now; returns whether there
        is. Raises StorageError and UserError.

        An id of an earlier server may belong to somebody else's notification by now, which a replacement would
        overwrite. Test: test_ids_of_an_earlier_server_are_never_used. Where that disturbs nobody, what was on screen is
        to be shown again. Test: test_after_a_restart_the_list_is_filled_again_quietly.
        """
        is_new = self._is_server_new
        while self._is_server_new:
            server = self._server
            is_kept = self._desktop.profile.is_filled_again
            await self._ledger.forget_popup_ids(server, is_shown_again=is_kept)
            # Yet another one may have come while the ledger was busy.
            self._is_server_new = self._server != server
        return is_new

    # What it shows

    async def fetch_pictures(self, steps: Sequence[PopupStep]) -> Mapping[str, Picture]:
        """The avatars that these steps show, by mxc: URI, as far as they can be had in a short time."""
        avatars = {each.notification.avatar for each in steps if isinstance(each, Show)}
        wanted = {avatar for avatar in avatars if avatar is not None}
        if not wanted or self._pictures is None:
            return {}
        with going_on("fetching pictures: notifications go without"):
            return await self._pictures.fetch(wanted)
        return {}

    async def take(
        self, step: PopupStep, due: Sequence[Delivery], pictures: Mapping[str, Picture], *, is_audible: bool
    ) -> None:
        """Takes one step. `due` are the deliveries that the steps were made for."""
        match step:
            case Show():
                await self._show(step, pictures, is_audible=is_audible)
            case Close(record):
                await self._close(record)
            case Fault():
                self._retries.take_fault(step)
            case Keep(record):
                shown = [each for each in due if each.state is State.SHOWN and each.popup_key == record.key]
                self._outcomes.note(*map(settle_shown, shown), shown=replace(record, is_stale=False))

    async def _show(self, step: Show, pictures: Mapping[str, Picture], *, is_audible: bool) -> None:
        # Only an id of this very server: another one takes it for that of somebody else's notification.
        replaces = step.replaces.popup if step.replaces and step.replaces.popup.server == self._server else None
        avatar, now_ms = step.notification.avatar, self._clock()
        notification = replace(step.notification, picture=None if avatar is None else pictures.get(avatar))
        if notification.sound is not None and not (is_audible and self._passes_gate(notification, now_ms)):
            notification = replace(notification, sound=None)
        outcome = await self._desktop.show(notification, replaces)
        match outcome:
            case Done(popup):
                self._note_shown(step, popup)
                if any(each.state is State.PENDING for each in step.deliveries):
                    # Changed words are no part of a burst: a room that is
                    # read on the phone would hold the next message back.
                    self._burst.note_shown(now_ms, is_new=replaces is None, is_summary=is_summary(step.key))
            case RetryLater(after_s, why):
                self._retries.put_off(step.deliveries, after_s, why)
            case NeedsUser(title, hint):
                self._retries.put_off(step.deliveries, None, f"{title} {hint}")
            case Declined(why):
                log.warning("The notification of %s was refused: %s", step.key, why)
                self._outcomes.note(
                    *(settle_refused(each, why) for each in step.deliveries),
                    shown=replace(step.replaces, is_stale=False) if step.replaces is not None else None,
                )

    def _note_shown(self, step: Show, popup: Popup) -> None:
        new = [each for each in step.deliveries if each.state is State.PENDING]
        self._signals.drop_closed(popup)
        self._outcomes.note(
            *map(settle_shown, step.deliveries), shown=PopupRecord(step.key, popup, step.digest), rang=new
        )
        self._retries.clear(step.key, step.deliveries)
        log.info("Shown: %s (%s)", step.key, f"{len(new)} new" if new else "changed")
        if self._settings.logs_bodies:
            log.info("%s: %s", step.notification.summary, step.notification.body)

    def _passes_gate(self, notification: Notification, now_ms: int) -> bool:
        return self._gate.passes(now_ms, is_call=notification.category is Category.CALL)

    async def _close(self, record: PopupRecord) -> None:
        outcome = await self._desktop.close(record.popup)
        if isinstance(outcome, RetryLater):
            self._retries.put_off((), outcome.after, outcome.why)
            return
        # Whatever else the server said, the popup is not ours any more: refused or unknown, it cannot be closed again.
        self._outcomes.note(closed=record.key)
        self._signals.note_withdrawn(record)
        log.info("Withdrew the notification of %s", record.key)
