from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from heliograph.core.status import AccountStatus, Connection, DaemonStatus, HandoffStatus


@dataclass
class ATask:
    name: str
    crashes: int = 0

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "crashes": self.crashes}


def an_account(**told: Any) -> AccountStatus:
    return AccountStatus("@me:example.org", "https://example.org", **told)


def of(*connections: Connection) -> DaemonStatus:
    return DaemonStatus("0.1.0", 4711, 0, accounts=[an_account(connection=each) for each in connections])


@pytest.mark.parametrize(
    ("connections", "summary"),
    [
        ((), "no accounts"),
        ((Connection.CONNECTED,), "1 connected"),
        ((Connection.OFFLINE, Connection.CONNECTED, Connection.OFFLINE), "2 offline, 1 connected"),
        ((Connection.WAITING_FOR_KEYRING,), "1 waiting for keyring"),
    ],
)
def test_the_summary_counts_accounts_by_how_they_fare(connections: tuple[Connection, ...], summary: str) -> None:
    assert of(*connections).summary == summary


def test_the_answer_holds_each_account_and_its_tasks() -> None:
    status = of(Connection.OFFLINE, Connection.SIGNED_OUT)
    status.tasks.append(ATask("quiet"))
    status.accounts[1].tasks.append(ATask("mutes", 3))
    answer = status.as_json()
    assert [each["state"] for each in answer["accounts"]] == ["offline", "signed out"]
    assert [each["tasks"] for each in answer["accounts"]] == [[], [{"name": "mutes", "crashes": 3}]]
    assert answer["tasks"] == [{"name": "quiet", "crashes": 0}]


@pytest.mark.parametrize(
    ("is_registered", "is_handed_over", "is_listing"),
    [(False, False, False), (True, False, True), (True, True, False)],
)
def test_the_server_lists_while_our_pusher_is_there_and_we_ring(
    is_registered: bool, is_handed_over: bool, is_listing: bool
) -> None:
    account = an_account(is_pusher_registered=is_registered, is_handed_over=is_handed_over)
    assert account.is_listing is is_listing


@pytest.mark.parametrize(("why_away", "is_present"), [(None, True), ("the screen is locked", False)])
def test_the_user_is_present_while_there_is_no_reason_to_be_away(why_away: str | None, is_present: bool) -> None:
    told = HandoffStatus(why_away=why_away).as_json()
    assert (told["present"], told["why_away"]) == (is_present, why_away)
