from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.accounts import Secrets
from heliograph.errors import EXIT_NEEDS_LOGIN, UserError
from heliograph.secrets import open_secrets
from heliograph.secrets.secret import Secret, decode_secret
from support.builders import ME

SECRET = Secret(access_token="syt_token", pickle_key="key")


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path


def test_a_secret_survives_being_written() -> None:
    assert decode_secret(ME, SECRET.encode()) == SECRET


def test_a_secret_does_not_show_itself() -> None:
    assert "syt_token" not in f"{SECRET!r} {SECRET}"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"access_token": "x"}', '{"access_token": "", "pickle_key": ""}'])
def test_a_damaged_secret_asks_for_a_login_and_is_not_repeated(text: str) -> None:
    with pytest.raises(UserError, match="damaged") as refusal:
        decode_secret(ME, text)
    assert refusal.value.exit_code == EXIT_NEEDS_LOGIN
    assert "heliograph login @me:example.org" in refusal.value.hint


async def test_a_credential_of_systemd_comes_first(credentials: Path) -> None:
    (credentials / "heliograph-me@example.org").write_text(SECRET.encode())
    text = await open_secrets("keyring").load(ME)
    assert text is not None
    assert decode_secret(ME, text) == SECRET


async def test_a_credential_is_never_locked(credentials: Path) -> None:
    (credentials / "heliograph-me@example.org").write_text(SECRET.encode())
    await open_secrets("keyring").wait_unlocked(ME)


async def test_a_credential_cannot_be_changed(credentials: Path) -> None:
    (credentials / "heliograph-me@example.org").write_text(SECRET.encode())
    store = open_secrets("file")
    with pytest.raises(UserError, match="only the unit's settings"):
        await store.save(ME, "other")
    with pytest.raises(UserError, match="only the unit's settings"):
        await store.delete(ME)


async def test_without_a_credential_of_its_own_an_account_uses_the_recorded_store(credentials: Path) -> None:
    (credentials / "heliograph-alice@example.org").write_text("hers")
    store = open_secrets("file")
    await store.save(ME, "mine")
    assert await store.load(ME) == "mine"
    await store.delete(ME)
    assert await store.load(ME) is None


@pytest.mark.parametrize("kind", ["keyring", "file"])
def test_the_recorded_store_is_used(kind: Secrets) -> None:
    assert open_secrets(kind).name == kind
