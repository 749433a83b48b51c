"""Where an account's access token lives. Chosen at login, recorded in account.json, and never silently changed.

secret           what is kept: the access token and the key of the encryption store
secret_service   a keyring, over D-Bus (the Secret Service of freedesktop)
secret_file      a file of mode 0600 in the account's folder
credential       what systemd hands to the unit, read-only
"""

from __future__ import annotations

from heliograph.accounts import Secrets, state_folder
from heliograph.ports import SecretStore


def open_secrets(user_id: str, kind: Secrets) -> SecretStore:
    """The store that this account's secret lives in: a credential from systemd if there is one, else as recorded."""
    from heliograph.secrets.credential import Credential

    if Credential.is_given(user_id):
        return Credential()
    if kind == "file":
        from heliograph.secrets.secret_file import SecretFile

        return SecretFile(state_folder)
    from heliograph.secrets.secret_service import SecretService

    return SecretService()
