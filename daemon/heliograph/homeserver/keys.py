"""Implements `ports.homeserver.Keys`: device keys, to-device messages, key backup and secret storage.

Signed objects are passed on as they came, since a signature covers every field, also unknown ones.

https://spec.matrix.org/v1.18/client-server-api/#end-to-end-encryption
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from heliograph.core.events import Json
from heliograph.core.ids import RoomId, UserId
from heliograph.core.text.clean import count_things
from heliograph.errors import BadAnswer, Refused
from heliograph.homeserver.address import segment
from heliograph.homeserver.bounds import is_integer
from heliograph.homeserver.decoding import decode_as, optional
from heliograph.homeserver.session import Session
from heliograph.ports.homeserver import BackupVersion, PublishedKeys

MAX_ACCOUNT_DATA = 256 * 1024
MAX_BACKED_UP = 256 * 1024
"""The most bytes of one room key from the backup; it has around two thousand."""

_CLIENT = "/_matrix/client/v3"
_FEDERATION_MS = 10_000
"""How long our homeserver may wait for other homeservers."""
_TIMEOUT_S = 40.0


class KeysClient:
    """A `ports.homeserver.Keys` over a session that is signed in."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.user_id = session.user_id
        self.device_id = session.device_id

    async def upload_keys(
        self, *, device_keys: Json | None = None, one_time_keys: Json | None = None, fallback_keys: Json | None = None
    ) -> Mapping[str, int]:
        parts = {"device_keys": device_keys, "one_time_keys": one_time_keys, "fallback_keys": fallback_keys}
        answer = await self._call("POST", "/keys/upload", {name: part for name, part in parts.items() if part})
        counts = optional(answer, dict, "one_time_key_counts") or {}
        return {algorithm: count for algorithm, count in counts.items() if is_integer(count)}

    async def query_keys(self, user_ids: Collection[UserId]) -> PublishedKeys:
        # An empty list asks for all devices of the user.
        body = {"device_keys": {user_id: [] for user_id in user_ids}, "timeout": _FEDERATION_MS}
        answer = await self._call("POST", "/keys/query", body)
        devices = _objects(answer, "device_keys")
        return PublishedKeys(
            devices={user_id: _only_objects(devices[user_id]) for user_id in devices},
            master=_objects(answer, "master_keys"),
            self_signing=_objects(answer, "self_signing_keys"),
        )

    async def claim_keys(self, devices: Mapping[UserId, Mapping[str, str]]) -> Mapping[str, Mapping[str, Json]]:
        answer = await self._call("POST", "/keys/claim", {"one_time_keys": devices, "timeout": _FEDERATION_MS})
        claimed = _objects(answer, "one_time_keys")
        return {user_id: _only_objects(claimed[user_id]) for user_id in claimed}

    async def upload_signatures(self, signed: Mapping[UserId, Mapping[str, Json]]) -> None:
        answer = await self._call("POST", "/keys/signatures/upload", signed)
        # The status is 200 even if not one of the signatures was taken.
        # Test: test_a_signature_that_was_not_taken_is_refused.
        if failures := optional(answer, dict, "failures"):
            refused = count_things(len(failures), "signature was", "signatures were")
            raise Refused(200, "M_INVALID_SIGNATURE", f"{refused} not accepted")

    async def send_to_device(
        self, type_: str, messages: Mapping[UserId, Mapping[str, Json]], transaction_id: str
    ) -> None:
        path = f"/sendToDevice/{segment(type_)}/{segment(transaction_id)}"
        await self._call("PUT", path, {"messages": messages})

    async def account_data(self, type_: str) -> Json | None:
        path = f"/user/{segment(self.user_id)}/account_data/{segment(type_)}"
        return await self._find(path, MAX_ACCOUNT_DATA)

    async def backup_version(self) -> BackupVersion | None:
        answer = await self._find("/room_keys/version", MAX_BACKED_UP)
        if answer is None:
            return None
        version, algorithm = optional(answer, str, "version"), optional(answer, str, "algorithm")
        auth_data = optional(answer, dict, "auth_data")
        if not version or algorithm is None or auth_data is None:
            raise BadAnswer(200, "the key backup came without version, algorithm or auth_data")
        return BackupVersion(version, algorithm, auth_data)

    async def backed_up_key(self, version: str, room_id: RoomId, session_id: str) -> Json | None:
        path = f"/room_keys/keys/{segment(room_id)}/{segment(session_id)}"
        return await self._find(path, MAX_BACKED_UP, version=version)

    async def _call(self, method: str, path: str, body: Mapping[Any, Any]) -> dict[str, Any]:
        answer = await self._session.request(method, _CLIENT + path, body=body, timeout_s=_TIMEOUT_S)
        return decode_as(dict[str, Any], answer)

    async def _find(self, path: str, limit: int, **query: str) -> dict[str, Any] | None:
        """The object at this path; None: the homeserver itself says 404. A proxy's 404 is an error."""
        try:
            return decode_as(
                dict[str, Any], await self._session.request("GET", _CLIENT + path, query=query, limit=limit)
            )
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise


def _objects(answer: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    return _only_objects(optional(answer, dict, key) or {})


def _only_objects(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: value for name, value in values.items() if isinstance(value, dict)}
