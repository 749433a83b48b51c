from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from msgspec import structs

from conftest import Home
from heliograph.accounts import (
    Account,
    OAuth,
    check_user_id,
    find_account,
    list_accounts,
    remove_account,
    save_account,
    state_folder,
    write_private_file,
)
from heliograph.core.ids import UserId
from heliograph.errors import EXIT_CONFIG, EXIT_USAGE, StateError, UserError
from support.builders import ALICE, ME


def make_account(user_id: str = ME) -> Account:
    return Account(
        user_id=UserId(user_id), device_id="D", homeserver="https://example.org", secrets="file", pushkey="key"
    )


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_account_survives_being_written() -> None:
    save_account(make_account())
    assert find_account(ME) == make_account()


def test_an_account_of_oauth_survives_being_written() -> None:
    oauth = OAuth(
        issuer="https://auth.example.org/",
        client_id="01ABC",
        token_endpoint="https://auth.example.org/oauth2/token",
        revocation_endpoint="https://auth.example.org/oauth2/revoke",
        account_management_uri="https://auth.example.org/account/",
        account_management_actions=("org.matrix.device_delete",),
    )
    account = structs.replace(make_account(), oauth=oauth)
    save_account(account)
    assert find_account(ME) == account
    save_account(make_account())
    assert "oauth" not in (state_folder(ME) / "account.json").read_text()


def test_accounts_are_listed_by_user_id() -> None:
    for user_id in (ME, ALICE):
        save_account(make_account(user_id))
    assert [account.user_id for account in list_accounts()] == [ALICE, ME]


def test_without_a_state_folder_there_are_no_accounts() -> None:
    assert list_accounts() == []
    assert find_account(ME) is None


def test_a_folder_without_an_account_is_passed_over(home: Home) -> None:
    (home.state / "heliograph" / "@left:over").mkdir(parents=True)
    assert list_accounts() == []


def test_nobody_else_can_look_into_it() -> None:
    state_folder(ME).mkdir(parents=True, mode=0o755)
    save_account(make_account())
    assert mode_of(state_folder(ME)) == 0o700
    assert mode_of(state_folder(ME) / "account.json") == 0o600


@pytest.mark.parametrize("user_id", ["@../../x:example.org", "@a/b:example.org", "@.:x", "@%2e:x", "@ü:x", "@\x00:x"])
def test_no_user_id_leads_out_of_the_state_folder(home: Home, user_id: str) -> None:
    assert state_folder(user_id).parent == home.state / "heliograph"


def test_two_users_never_share_a_folder() -> None:
    assert state_folder("@a/b:x") != state_folder("@a%2Fb:x")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"user_id": "@me:example.org"}', "\udcff", "[" * 10_000])
def test_an_account_that_cannot_be_read_is_a_clear_error(text: str) -> None:
    save_account(make_account())
    (state_folder(ME) / "account.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StateError, match=r"account\.json") as refusal:
        list_accounts()
    assert "log in again" in refusal.value.hint
    assert refusal.value.exit_code == EXIT_CONFIG


def test_another_accounts_file_is_not_taken_for_ours() -> None:
    save_account(make_account(ALICE))
    state_folder(ALICE).rename(state_folder(ME))
    with pytest.raises(StateError, match="another account"):
        find_account(ME)


def test_removing_an_account_removes_its_whole_folder(home: Home) -> None:
    save_account(make_account())
    (state_folder(ME) / "sub").mkdir()
    (state_folder(ME) / "sub" / "file").write_text("x")
    remove_account(ME)
    assert os.listdir(home.state / "heliograph") == []


def test_removing_what_is_not_there_is_no_error() -> None:
    remove_account(ME)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "file"
    write_private_file(file, b"old")
    with pytest.raises(TypeError):
        write_private_file(file, "text")  # type: ignore[arg-type]
    assert os.listdir(file.parent) == ["file"]
    assert file.read_bytes() == b"old"


def test_what_a_killed_write_left_behind_is_replaced(tmp_path: Path) -> None:
    (tmp_path / f".file.{os.getpid()}.new").symlink_to("/nonexistent/target")
    write_private_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("user_id", ["@me:example.org", "@me:localhost:8448", "@a=b/c+d.e_f-g:[::1]:80", "@ü:1.2.3.4"])
def test_user_ids_of_every_kind_are_taken(user_id: str) -> None:
    assert check_user_id(user_id) == user_id


@pytest.mark.parametrize(
    "text", ["", "me", "me@example.org", "@me", "@:x", "@me:", "@a b:x", "@a\x00:x", "@a:x/y", "@a:x#"]
)
def test_what_is_no_user_id_is_refused(text: str) -> None:
    with pytest.raises(UserError) as refusal:
        check_user_id(text)
    assert refusal.value.exit_code == EXIT_USAGE
