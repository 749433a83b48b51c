"""What tests look at from outside to say what rang: the notification server's calls and the account's files."""

from __future__ import annotations

import sqlite3
from typing import Any

from fakes.notification_banners import Shown
from fakes.notification_server import NotificationServer
from heliograph.accounts import Account, state_folder
from support.waiting import until

PATIENCE_S = 60.0


def rings(screen: NotificationServer, text: str) -> int:
    """How many notifications say this."""
    return sum(text in each.body for each in screen.shown)


async def rung(screen: NotificationServer, text: str) -> Shown:
    """The first notification that says this."""
    await until(lambda: rings(screen, text), f"a notification saying {text!r}", PATIENCE_S)
    return next(each for each in screen.shown if text in each.body)


def deliveries(account: Account) -> list[tuple[str, str]]:
    """Event id and state of each delivery, by event id."""
    return _rows(account, "ledger.db", "SELECT event_id, state FROM deliveries ORDER BY event_id")


def texts(account: Account) -> dict[str, str]:
    """What each delivery says, by event id."""
    return dict(_rows(account, "ledger.db", "SELECT event_id, text FROM deliveries"))


def decisions(account: Account) -> dict[str, str]:
    """Whether an event rang, by event id."""
    return dict(_rows(account, "ledger.db", "SELECT event_id, decision FROM judged"))


def taken_to_device(account: Account) -> int:
    """How many to-device events were handled."""
    return len(_rows(account, "crypto.db", "SELECT digest FROM taken"))


def _rows(account: Account, file: str, query: str) -> list[Any]:
    with sqlite3.connect(f"file:{state_folder(account.user_id)}/{file}?mode=ro", uri=True) as db:
        rows = db.execute(query).fetchall()
    db.close()
    return rows
