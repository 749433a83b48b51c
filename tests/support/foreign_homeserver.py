"""A stranger's homeserver on loopback, which may invite to rooms with whatever ids it likes.

It answers for its signing key, which is all that another homeserver asks before it takes an invite, and sends invites
as the Server-Server API has it ("Inviting to a room"). https://spec.matrix.org/v1.18/server-server-api/
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from signedjson.key import encode_verify_key_base64, generate_signing_key, get_verify_key
from signedjson.sign import sign_json
from yarl import URL

from heliograph.system.clock import now_ms

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from synapse.api.room_versions import RoomVersions
    from synapse.crypto.event_signing import add_hashes_and_signatures
    from synapse.events import make_event_from_dict

Json = dict[str, Any]

FEDERATION_SETTINGS: Json = {
    "federation_domain_whitelist": None,
    "federation_verify_certificates": False,
    "ip_range_blacklist": [],
    "trusted_key_servers": [],
}
"""What a ThrowawaySynapse needs to talk to one on loopback, besides a listener for `federation`."""

_A_DAY_MS = 86_400_000
_VERSION = RoomVersions.V10


class ForeignHomeserver:
    """An async context manager. `folder` takes its certificate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = generate_signing_key("1")
        self._runner: web.ServerRunner | None = None
        self.name = ""
        """127.0.0.1 and its port."""

    async def __aenter__(self) -> ForeignHomeserver:
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=_tls(self._folder))
        await site.start()
        self.name = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def invite(self, base_url: str, server_name: str, user_id: str, room_id: str, name: str) -> None:
        """Invites the user at that homeserver to a room of this id and name. Fails if it does not take the invite."""
        sender = f"@stranger:{self.name}"
        event: Json = {
            "type": "m.room.member",
            "room_id": room_id,
            "sender": sender,
            "state_key": user_id,
            "content": {"membership": "invite", "displayname": "Somebody"},
            "origin_server_ts": now_ms(),
            "depth": 5,
            "prev_events": ["$" + "a" * 43],
            "auth_events": ["$" + "b" * 43],
            "origin": self.name,
        }
        add_hashes_and_signatures(_VERSION, event, self.name, self._key)
        state = [
            ("m.room.create", "", {"room_version": _VERSION.identifier, "creator": sender}),
            ("m.room.name", "", {"name": name}),
            ("m.room.join_rules", "", {"join_rule": "invite"}),
            ("m.room.member", sender, {"membership": "join"}),
        ]
        body = {
            "room_version": _VERSION.identifier,
            "event": event,
            "invite_room_state": [
                {"type": type_, "sender": sender, "state_key": key, "content": content} for type_, key, content in state
            ],
        }
        event_id = make_event_from_dict(dict(event), _VERSION).event_id
        path = f"/_matrix/federation/v2/invite/{quote(room_id, safe='')}/{quote(event_id, safe='')}"
        await self._put(base_url, server_name, path, body)

    async def _put(self, base_url: str, server_name: str, path: str, body: Json) -> None:
        request = {"method": "PUT", "uri": path, "origin": self.name, "destination": server_name, "content": body}
        signature = sign_json(request, self.name, self._key)["signatures"][self.name][self._key_id]
        parts = {"origin": self.name, "destination": server_name, "key": self._key_id, "sig": signature}
        headers = {"Authorization": "X-Matrix " + ",".join(f'{name}="{value}"' for name, value in parts.items())}
        async with (
            aiohttp.ClientSession() as http,
            http.put(URL(base_url + path, encoded=True), json=body, headers=headers) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/_matrix/key/v2/server":
            return web.json_response({"errcode": "M_UNRECOGNIZED"}, status=404)
        keys = {
            "server_name": self.name,
            "valid_until_ts": now_ms() + _A_DAY_MS,
            "verify_keys": {self._key_id: {"key": encode_verify_key_base64(get_verify_key(self._key))}},
            "old_verify_keys": {},
        }
        return web.json_response(sign_json(keys, self.name, self._key))

    @property
    def _key_id(self) -> str:
        return f"{self._key.alg}:{self._key.version}"


def _tls(folder: Path) -> ssl.SSLContext:
    """A certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.fromtimestamp(now_ms() / 1000, datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "foreign.pem"
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(*plain) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
