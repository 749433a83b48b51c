"""What Synapse refuses, by Synapse's own code, so that no fake is more lenient than the real thing.

One table of requests is sent to the fake and to the real server, and so it is with calls to notification servers and to
logind. Where real servers differ, each is a profile, which is held to the server itself if that runs here.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import jsonschema
from canonicaljson import encode_canonical_json
from jsonschema import FormatChecker

from heliograph.core.events import Json
from heliograph.core.ids import UserId
from heliograph.core.push.rule_change import Delete, Put, RuleChange, SetActions, SetEnabled
from heliograph.errors import Refused

with warnings.catch_warnings():
    # Of jsonschema, about how Synapse registers its formats.
    warnings.simplefilter("ignore", DeprecationWarning)
    from synapse.api.constants import MAX_PDU_SIZE, MAX_TO_DEVICE_CONTENT_SIZE
    from synapse.api.errors import Codes, SynapseError, UnrecognizedRequestError
    from synapse.api.filtering import USER_FILTER_SCHEMA
    from synapse.api.room_versions import RoomVersions
    from synapse.events.utils import validate_canonicaljson
    from synapse.events.validator import EventValidator
    from synapse.handlers.e2e_keys import _one_time_keys_match
    from synapse.handlers.push_rules import InvalidRuleException, check_actions
    from synapse.http.servlet import validate_json_object
    from synapse.rest.client import push_rule
    from synapse.rest.client.keys import KeyUploadServlet
    from synapse.types import UserID

_MOST_OF_A_TYPE = 255
"""Bytes of an event's type, by the specification."""
_MOST_OF_A_RULE_ID = 300
"""Bytes: the default of Synapse's `rule_id_length`."""


@lru_cache(maxsize=256)
def check_filter(text: str) -> None:
    """As the query of GET /sync, and as `Filtering.check_valid_filter`, which wants a whole server. Raises Refused."""
    if not text.isascii():
        raise refused(400, Codes.UNKNOWN, "Query parameter 'filter' must be ascii")
    if not text.startswith("{"):
        # The id of a filter that was stored. Nobody ever stores one.
        raise refused(400, Codes.INVALID_PARAM, "No such filter")
    try:
        jsonschema.validate(json.loads(text), USER_FILTER_SCHEMA, format_checker=FormatChecker())
    except json.JSONDecodeError:
        raise refused(400, Codes.NOT_JSON, "Invalid filter JSON") from None
    except jsonschema.ValidationError as error:
        raise refused(400, Codes.UNKNOWN, error.message) from None


def check_pusher(kind: str, data: Any) -> None:
    """As Synapse's `HttpPusher` takes its configuration. Raises Refused."""
    if kind != "http":
        return
    url = data.get("url") if isinstance(data, Mapping) else None
    if not isinstance(url, str) or urlsplit(url).path != "/_matrix/push/v1/notify":
        raise refused(400, Codes.MISSING_PARAM, "Config Error: 'url'")


def refused(status: int, errcode: str, why: str) -> Refused:
    """As its client sees it."""
    code = Codes(errcode).value
    return Refused(status, code, f"refused with HTTP {status}: {code} {why}")


@contextmanager
def refusing() -> Iterator[None]:
    """What Synapse's code raises is Refused, as its client sees it."""
    try:
        yield
    except SynapseError as error:
        raise refused(error.code, error.errcode, error.msg) from None
    except InvalidRuleException as error:
        raise refused(400, Codes.UNKNOWN, str(error)) from None


def check_key_upload(body: Json, user_id: str, device_id: str, held: Mapping[str, Json]) -> None:
    """As Synapse's `KeyUploadServlet`, for this device; `held` are its one-time keys by name. Raises Refused."""
    with refusing():
        validate_json_object(dict(body), KeyUploadServlet.KeyUploadRequestBody)
        device = body.get("device_keys")
        if device is not None and (device["user_id"], device["device_id"]) != (user_id, device_id):
            raise SynapseError(400, "the device keys are another device's", Codes.BAD_JSON)
        for name, key in body.get("one_time_keys", {}).items():
            if name in held and not _one_time_keys_match(json.dumps(held[name]), key):
                raise SynapseError(400, f"One time key {name} already exists")


def check_key_claim(user_ids: Collection[str]) -> None:
    """As Synapse's `OneTimeKeyServlet`, which takes users apart to find their homeservers. Raises Refused."""
    with refusing():
        for user_id in user_ids:
            UserID.from_string(user_id)


def check_to_device(messages: Mapping[UserId, Mapping[str, Json]]) -> None:
    """As Synapse's `DeviceMessageHandler`. Raises Refused."""
    contents = [content for user_id in messages if UserID.is_valid(user_id) for content in messages[user_id].values()]
    if any(len(encode_canonical_json(content)) > MAX_TO_DEVICE_CONTENT_SIZE for content in contents):
        raise refused(413, Codes.TOO_LARGE, "To-device message is too large to send")


def check_sent_event(type_: str, content: Json) -> None:
    """As Synapse makes an event that is no state of what PUT /send brings. Raises Refused."""
    event: Any = SimpleNamespace(
        type=type_,
        content=content,
        room_id="!room:example.org",
        sender="@user:example.org",
        room_version=RoomVersions.V11,
        is_state=lambda: False,
    )
    with refusing():
        EventValidator().validate_builder(event)
        validate_canonicaljson(content)
        if len(type_.encode()) > _MOST_OF_A_TYPE or len(encode_canonical_json(content)) > MAX_PDU_SIZE:
            raise SynapseError(413, "event too large", Codes.TOO_LARGE)


def check_rule_change(rules: Mapping[str, Sequence[Mapping[str, Any]]], change: RuleChange) -> None:
    """As Synapse's `PushRuleRestServlet`, step by step; `rules` are the user's own, by kind. Raises Refused."""
    with refusing():
        path = ["pushrules", "global", change.kind, *change.rule_id.split("/")]
        match change:
            case SetEnabled():
                path.append("enabled")
            case SetActions():
                path.append("actions")
        spec = push_rule._rule_spec_from_path(path)
        if spec.attr not in (None, "enabled", "actions"):
            raise UnrecognizedRequestError
        known = {rule["rule_id"] for rule in rules.get(change.kind, ())}
        match change:
            case Delete():
                return
            case SetEnabled() | SetActions() if not change.rule_id.startswith(".") and change.rule_id not in known:
                raise SynapseError(404, "Unknown rule", Codes.NOT_FOUND)
            case SetActions(actions=actions):
                check_actions(list(actions))
            case Put():
                _check_put(spec, known, change)


def _check_put(spec: Any, known: Collection[str], put: Put) -> None:
    push_rule._priority_class_from_spec(spec)
    if "\\" in spec.rule_id or spec.rule_id.startswith("."):
        raise SynapseError(400, "rule_id may not be like this")
    push_rule._rule_tuple_from_request_object(spec.template, spec.rule_id, dict(put.body))
    if len(spec.rule_id.encode()) + len(f"global/{spec.template}/") > _MOST_OF_A_RULE_ID:
        raise SynapseError(413, "Push rule ID length exceeds server limit")
    if any(neighbour is not None and neighbour not in known for neighbour in (put.before, put.after)):
        raise SynapseError(400, "before/after rule not found")
