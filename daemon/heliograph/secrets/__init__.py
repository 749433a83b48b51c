"""Stores for an account's secret, and its tokens. The user chooses a store at login; account.json records the choice
for good.

secret           the value in the store: the key of the encryption store, and an access token that lasts
secret_service   a keyring, over D-Bus (the Secret Service API of freedesktop)
secret_file      a file of mode 0600 in the account's folder
credential       a file that systemd hands to the unit, read-only
tokens           the tokens of OAuth 2.0, which are renewed
token_file       the file that keeps these, sealed with a key from the store
token_lock       one process at a time renews them
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from heliograph.accounts import Secrets, state_folder
from heliograph.ports.secrets import SecretStore


def open_secrets(
    kind: Secrets, *, may_prompt: bool = True, on_prompt: Callable[[], None] = lambda: None
) -> SecretStore:
    """Opens the store that was chosen at login. If systemd hands credentials to this process, they are looked at first.

    `on_prompt` is called when a keyring is about to ask the user for its password; the store then waits for the answer.
    Without `may_prompt` the keyring asks nothing, and a locked one raises SecretsLocked at once.
    """
    store = _recorded_store(kind, may_prompt, on_prompt)
    if folder := os.environ.get("CREDENTIALS_DIRECTORY"):
        from heliograph.secrets.credential import Credential

        return Credential(Path(folder), store)
    return store


def _recorded_store(kind: Secrets, may_prompt: bool, on_prompt: Callable[[], None]) -> SecretStore:
    if kind == "file":
        from heliograph.secrets.secret_file import SecretFile

        return SecretFile(state_folder)
    from heliograph.secrets.secret_service import SecretService

    return SecretService(may_prompt=may_prompt, on_prompt=on_prompt)
