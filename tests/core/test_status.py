from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from heliograph.core.connection import Connection, ConnectionState, ended_by
from heliograph.core.status import AccountStatus, DaemonStatus, HandoffStatus, SignInStatus, sum_up
from heliograph.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_NEEDS_LOGIN, UserError


@dataclass
class ATask:
    name: str
    crashes: int = 0

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "crashes": self.crashes}


def an_account(**told: Any) -> AccountStatus:
    return AccountStatus("@me:example.org", "https://example.org", **told)


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
    assert sum_up(connections) == summary


def test_the_answer_holds_each_account_and_its_tasks() -> None:
    accounts = (
        an_account(connection=ConnectionState(Connection.OFFLINE, "no network")),
        an_account(connection=ConnectionState(Connection.CONNECTED, since_ms=5), tasks=(ATask("mutes", 3),)),
    )
    answer = DaemonStatus("0.1.0", 4711, 0, accounts=accounts, tasks=(ATask("quiet"),)).as_json()
    told = [(each["state"], each["why"], each["connected_since_ms"]) for each in answer["accounts"]]
    assert told == [("offline", "no network", None), ("connected", "", 5)]
    assert [each["tasks"] for each in answer["accounts"]] == [[], [{"name": "mutes", "crashes": 3}]]
    assert answer["tasks"] == [{"name": "quiet", "crashes": 0}]


def test_an_account_of_oauth_says_where_it_was_signed_in() -> None:
    assert an_account().as_json()["sign_in"] is None
    where = SignInStatus("https://auth.example.org/", "https://auth.example.org/account/", 5)
    assert an_account(sign_in=where).as_json()["sign_in"] == {
        "issuer": "https://auth.example.org/",
        "account_page": "https://auth.example.org/account/",
        "token_until_ms": 5,
    }


@pytest.mark.parametrize(
    ("code", "state"), [(EXIT_NEEDS_LOGIN, "signed out"), (EXIT_CONFIG, "cannot run"), (EXIT_FAILED, "cannot run")]
)
def test_an_account_that_only_its_user_can_mend_says_what_is_wrong_and_what_to_do(code: int, state: str) -> None:
    error = UserError("The ledger is damaged", "Move it away.", exit_code=code)
    told = an_account(connection=ended_by(error)).as_json()
    assert (told["state"], told["why"], told["cure"]) == (state, "The ledger is damaged", "Move it away.")


@pytest.mark.parametrize(("why_away", "is_present"), [(None, True), ("the screen is locked", False)])
def test_the_user_is_present_while_there_is_no_reason_to_be_away(why_away: str | None, is_present: bool) -> None:
    told = HandoffStatus(why_away=why_away).as_json()
    assert (told["present"], told["why_away"]) == (is_present, why_away)
