"""The recovery key and the passphrase make the user's identity vouch for our device, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.keys import FakeKeys, FakeKeyServer, FakeOwner, FakeVault, seal
from heliograph.core.encryption.trust import Standing
from heliograph.encryption.identity.cross_signing import PINNED, CrossSigning, read_own_keys
from heliograph.encryption.identity.secret_storage import (
    BACKUP,
    MASTER,
    SELF_SIGNING,
    SecretStorage,
    decode_recovery_key,
)
from heliograph.encryption.olm.signatures import SigningKey, encode
from heliograph.errors import Refused, Unreachable, UserError
from support.builders import ME


class Stage:
    def __init__(self, passphrase: str | None = None) -> None:
        self.server = FakeKeyServer()
        self.owner = FakeOwner(self.server, passphrase=passphrase)
        self.vault = FakeVault()
        self.vault.publish(self.server)
        self.keys = FakeKeys(self.server)
        self.cross_signing = CrossSigning(self.keys, self.vault)

    async def storage(self) -> SecretStorage:
        return await SecretStorage.find(self.keys)

    async def sign(self) -> bool:
        storage = await self.storage()
        await storage.unlock_with_recovery_key(self.owner.recovery_key())
        return await self.cross_signing.sign_with(storage)


async def test_the_recovery_key_verifies_the_device_and_brings_the_backup_key() -> None:
    stage = Stage()
    assert await stage.cross_signing.standing() is Standing.UNVERIFIED
    assert await stage.sign()
    assert await stage.cross_signing.standing() is Standing.VERIFIED
    assert stage.vault.kept[PINNED] == stage.owner.master.public_key
    assert stage.vault.kept[BACKUP] == encode(stage.owner.backup.to_bytes())


async def test_of_the_private_keys_only_that_of_the_backup_is_kept() -> None:
    stage = Stage()
    await stage.sign()
    assert set(stage.vault.kept) == {PINNED, BACKUP}
    for seed in stage.owner.seeds.values():
        assert encode(seed) not in str(stage.vault.kept)


async def test_the_passphrase_does_the_same() -> None:
    stage = Stage("correct horse")
    storage = await stage.storage()
    await storage.unlock_with_passphrase("correct horse")
    assert await stage.cross_signing.sign_with(storage)
    assert await stage.cross_signing.standing() is Standing.VERIFIED


async def test_without_a_backup_the_device_is_verified_all_the_same() -> None:
    stage = Stage()
    del stage.server.account_data[BACKUP]
    assert not await stage.sign()
    assert set(stage.vault.kept) == {PINNED}


async def test_a_wrong_key_is_refused() -> None:
    stage, other = Stage("correct horse"), FakeOwner(FakeKeyServer())
    storage = await stage.storage()
    with pytest.raises(UserError, match="not the recovery key of this account"):
        await storage.unlock_with_recovery_key(other.recovery_key())
    with pytest.raises(UserError, match="not the passphrase of this account"):
        await storage.unlock_with_passphrase("wrong horse")
    assert await stage.cross_signing.standing() is Standing.UNVERIFIED


async def test_a_wrong_key_is_found_out_by_the_secrets_where_the_storage_cannot_tell() -> None:
    stage = Stage()
    del stage.owner.description["mac"]
    storage = await stage.storage()
    await storage.unlock_with_recovery_key(FakeOwner(FakeKeyServer()).recovery_key())
    with pytest.raises(UserError, match="damaged"):
        await stage.cross_signing.sign_with(storage)
    assert stage.vault.kept == {}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda key: key[:-1], "too short"),
        (lambda key: key + " 2222", "too short or too long"),
        (lambda key: "0" + key[1:], "letters that recovery keys do not have"),
        (lambda key: key[:-1] + ("2" if key[-1] != "2" else "3"), "mistyped"),
        (lambda key: "", "too short"),
        (lambda key: "E" * 100_000, "far too long"),
        (lambda key: "Es\ud800", "letters that"),
    ],
)
def test_what_is_no_recovery_key_is_told_apart(change: Any, hint: str) -> None:
    key = FakeOwner(FakeKeyServer()).recovery_key()
    with pytest.raises(UserError) as failure:
        decode_recovery_key(change(key))
    assert failure.value.title == "That is not a recovery key."
    assert hint in failure.value.hint


def test_spaces_in_a_recovery_key_mean_nothing() -> None:
    owner = FakeOwner(FakeKeyServer())
    assert decode_recovery_key(f"  {owner.recovery_key().replace(' ', '')}\n") == owner.key


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("m.secret_storage.default_key", None),
        ("m.secret_storage.default_key", {"key": 7}),
        ("m.secret_storage.key.k1", None),
        ("m.secret_storage.key.k1", {"algorithm": "m.other"}),
        ("m.secret_storage.key.k1", {"algorithm": "m.secret_storage.v1.aes-hmac-sha2", "iv": 7, "mac": "x"}),
        ("m.secret_storage.key.k1", {"algorithm": "m.secret_storage.v1.aes-hmac-sha2", "iv": "AAAA", "mac": "AA"}),
        (SELF_SIGNING, None),
        (SELF_SIGNING, {"encrypted": []}),
        (SELF_SIGNING, {"encrypted": {"k2": {}}}),
        (SELF_SIGNING, {"encrypted": {"k1": {"iv": 1, "ciphertext": "%", "mac": None}}}),
        (MASTER, {"encrypted": {"k1": {}}}),
    ],
)
async def test_a_storage_that_is_absent_or_damaged_is_said_and_nothing_is_kept(name: str, data: Any) -> None:
    stage = Stage()
    stage.server.account_data[name] = data
    with pytest.raises(UserError):
        await stage.sign()
    assert stage.vault.kept == {}
    assert await stage.cross_signing.standing() is Standing.UNVERIFIED


@pytest.mark.parametrize(
    "how",
    [
        None,
        {"algorithm": "m.scrypt", "salt": "s", "iterations": 1000},
        {"algorithm": "m.pbkdf2", "salt": 7, "iterations": 1000},
        {"algorithm": "m.pbkdf2", "salt": "s", "iterations": 10**12},
        {"algorithm": "m.pbkdf2", "salt": "s", "iterations": True},
        {"algorithm": "m.pbkdf2", "salt": "s", "iterations": 1000, "bits": 10**9},
    ],
)
async def test_a_passphrase_that_cannot_be_used_sends_one_to_the_recovery_key(how: Any) -> None:
    stage = Stage("correct horse")
    stage.owner.description["passphrase"] = how
    with pytest.raises(UserError) as failure:
        await (await stage.storage()).unlock_with_passphrase("correct horse")
    assert "--recovery-key" in failure.value.hint


async def test_keys_of_another_identity_sign_nothing() -> None:
    for name, seed in ((SELF_SIGNING, bytes(32)), (MASTER, b"1" * 32)):
        stage = Stage()
        stage.owner.store(name, seed)
        with pytest.raises(UserError, match="another identity"):
            await stage.sign()
        assert stage.vault.kept == {}
        assert await stage.cross_signing.standing() is Standing.UNVERIFIED


@pytest.mark.expected_log("The homeserver shows other keys for this device than it has")
async def test_a_device_whose_keys_the_homeserver_changed_is_not_signed() -> None:
    stage = Stage()
    FakeVault().publish(stage.server)
    with pytest.raises(UserError, match="other keys for this device"):
        await stage.sign()
    stage.owner.sign("D")
    assert await stage.cross_signing.standing() is Standing.UNVERIFIED


async def test_a_device_that_is_not_published_yet_cannot_be_signed() -> None:
    stage = Stage()
    stage.server.devices.clear()
    with pytest.raises(UserError, match="does not have this device's keys"):
        await stage.sign()


async def test_an_account_without_identity_is_told_so() -> None:
    stage = Stage()
    stage.server.master.clear()
    assert await stage.cross_signing.standing() is Standing.NO_IDENTITY
    with pytest.raises(UserError, match="no identity"):
        await stage.sign()


async def test_a_changed_identity_is_said_and_never_trusted() -> None:
    stage = Stage()
    await stage.sign()
    new = FakeOwner(stage.server)
    new.sign("D")
    assert await stage.cross_signing.standing() is Standing.IDENTITY_CHANGED
    stage.owner = new
    await stage.sign()
    assert await stage.cross_signing.standing() is Standing.VERIFIED


async def test_a_server_that_fails_leaves_nothing_behind() -> None:
    stage = Stage()
    storage = await stage.storage()
    await storage.unlock_with_recovery_key(stage.owner.recovery_key())
    stage.server.failure = Unreachable("gone")
    with pytest.raises(Unreachable):
        await stage.cross_signing.sign_with(storage)
    assert stage.vault.kept == {}


async def test_signatures_that_the_homeserver_refuses_are_no_verification() -> None:
    stage = Stage()

    async def refuse(signed: object) -> None:
        raise Refused(200, "M_INVALID_SIGNATURE", "no")

    stage.keys.upload_signatures = refuse  # type: ignore[method-assign]
    with pytest.raises(Refused):
        await stage.sign()
    assert stage.vault.kept == {}


@pytest.mark.parametrize("path", [("master",), ("self_signing",), ("devices", "D")])
@pytest.mark.parametrize("junk", [{}, {"keys": 7}, {"user_id": ME, "keys": {"ed25519:x": 1}, "usage": ["master"]}])
async def test_keys_that_are_not_well_signed_count_for_nothing(path: tuple[str, ...], junk: Any) -> None:
    stage = Stage()
    stage.owner.sign("D")
    table: Any = getattr(stage.server, path[0])
    if len(path) == 2:
        table[ME]["D"] = junk
    else:
        table[ME] = junk
    assert await stage.cross_signing.standing() in (Standing.NO_IDENTITY, Standing.UNVERIFIED)


async def test_a_signature_by_any_other_key_counts_for_nothing() -> None:
    stage = Stage()
    stage.owner.sign("D")
    for mine in (stage.server.self_signing[ME], stage.server.devices[ME]["D"]):
        signatures = dict(mine["signatures"][ME])
        for key_id in signatures:
            mine["signatures"][ME][key_id] = SigningKey(bytes(32)).sign(mine)
            assert await stage.cross_signing.standing() is not Standing.VERIFIED
        mine["signatures"][ME] = signatures
    assert await stage.cross_signing.standing() is Standing.VERIFIED


async def test_a_self_signing_key_of_another_identity_vouches_for_nobody() -> None:
    stage = Stage()
    stage.owner.sign("D")
    other = FakeOwner(FakeKeyServer())
    stage.server.master[ME] = other.server.master[ME]
    own = read_own_keys(await stage.keys.query_keys([ME]), ME)
    assert (own.master, own.self_signing, own.signed) == (other.master.public_key, None, frozenset())


def test_sealing_differs_each_time() -> None:
    assert seal(b"k" * 32, "n", b"x") != seal(b"k" * 32, "n", b"x")
