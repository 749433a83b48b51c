"""The fallback, an HTTP pusher that rings where the desktop cannot: makes and checks it, explains its gateway's
answers.

Sources: Push Gateway API; UnifiedPush's discovery of Matrix gateways; ntfy's and Synapse's behaviour as measured.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from heliograph.core.events import Json
from heliograph.core.finding import Finding, bad, good
from heliograph.core.pushers.pusher import Pusher
from heliograph.core.value_type import value_type

NOTIFY_PATH = "/_matrix/push/v1/notify"
PUBLIC_GATEWAY = f"https://matrix.gateway.unifiedpush.org{NOTIFY_PATH}"
"""UnifiedPush's public gateway. It sees which pushes go where, so it is used only if the user says so."""
APP_ID = "io.github.heliograph.fallback"
MAX_APP_ID = 64
MAX_PUSHKEY = 512
MAX_URL = 2048
_UP_TOPIC = 14
"""The length of a topic that ntfy takes for one of UnifiedPush: "up" and twelve characters."""


@value_type
class Fallback:
    """The address to which the homeserver pushes what the desktop cannot take."""

    gateway: str
    """A URL that ends in NOTIFY_PATH."""
    pushkey: str
    app_id: str = APP_ID
    is_event_id_only: bool = True


@value_type
class GatewayAnswer:
    """A gateway's answer to a push. `body` is the decoded JSON; None: the body was not JSON."""

    status: int
    body: Any = None
    retry_after: str = ""


def fallback_pusher(fallback: Fallback, device_name: str) -> Pusher:
    """The pusher to register at the homeserver."""
    data: dict[str, Any] = {"url": fallback.gateway}
    if fallback.is_event_id_only:
        # The only format that the specification has. Without this field, homeservers push the whole event.
        data["format"] = "event_id_only"
    return Pusher(
        app_id=fallback.app_id,
        pushkey=fallback.pushkey,
        kind="http",
        app_display_name="Heliograph's fallback",
        device_display_name=device_name,
        lang="en",
        data=data,
    )


def why_unfit(fallback: Fallback) -> str | None:
    """What is wrong with the fallback, as a sentence without full stop; None: nothing."""
    problem = why_unfit_url(fallback.gateway)
    if problem is not None:
        return f"the gateway {problem}"
    url = urlsplit(fallback.gateway)
    if url.path != NOTIFY_PATH or url.query:
        # Synapse refuses any other path; continuwuity and tuwunel take no query.
        return f"the gateway does not end in {NOTIFY_PATH}"
    if not fallback.pushkey or len(fallback.pushkey) > MAX_PUSHKEY or not fallback.pushkey.isprintable():
        return f"the pushkey is not a text of 1 to {MAX_PUSHKEY} characters"
    if not fallback.app_id or len(fallback.app_id) > MAX_APP_ID or not fallback.app_id.isprintable():
        return f"the app_id is not a text of 1 to {MAX_APP_ID} characters"
    return None


def why_unfit_url(text: str) -> str | None:
    """What is wrong with a URL for pushes, as the end of a sentence; None: nothing."""
    url = _split(text)
    if url is None or len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        return "is not a URL"
    if url.scheme not in ("https", "http") or not url.hostname:
        return "is not an http(s) URL"
    if "@" in url.netloc:
        # Synapse accepts such a URL, and no push ever arrives.
        return "holds a user name or a password"
    if url.scheme == "http" and not _is_loopback(url.hostname):
        return "is not encrypted (only a gateway on this machine may be plain http)"
    return None


def notify_url(endpoint: str) -> str:
    """The URL at which the endpoint's own server would answer as a Matrix gateway, if it is one."""
    url = urlsplit(endpoint)
    return urlunsplit((url.scheme, url.netloc, NOTIFY_PATH, "", ""))


def ntfy_topic(url: str) -> str | None:
    """The topic in an ntfy URL; "": the URL names none yet; None: this cannot be the URL of a topic."""
    topic = urlsplit(url).path.strip("/")
    is_one = topic == "" or (len(topic) <= 64 and all(c.isalnum() or c in "-_" for c in topic) and topic.isascii())
    return topic if is_one else None


def ntfy_pushkey(url: str, topic: str) -> str:
    """The pushkey for ntfy's gateway: the topic's URL below the server's own, marked as one of UnifiedPush."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"/{topic}", "up=1", ""))


def ntfy_poll_url(pushkey: str) -> str:
    """The URL at which ntfy lists what arrived in the topic during the last ten minutes."""
    parts = urlsplit(pushkey)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path}/json", "poll=1&since=10m", ""))


def ntfy_warnings(pushkey: str) -> list[str]:
    """Sentences about what makes this topic a worse choice than others."""
    url = urlsplit(pushkey)
    topic = url.path.strip("/")
    warnings = []
    if url.hostname == "ntfy.sh":
        warnings.append("ntfy.sh limits how much large homeservers may push; one of your own has no such limit.")
    if not (topic.startswith("up") and len(topic) == _UP_TOPIC):
        warnings.append(
            "A topic that is not 'up' and twelve more characters counts against the homeserver's limits, not yours."
        )
    return warnings


def is_matrix_gateway(answer: GatewayAnswer) -> bool:
    """True if a Matrix gateway answers GET like this (UnifiedPush's discovery)."""
    told = answer.body.get("unifiedpush") if isinstance(answer.body, Mapping) else None
    return answer.status == 200 and isinstance(told, Mapping) and told.get("gateway") == "matrix"


def trial_push(fallback: Fallback, event_id: str, *, is_long: bool = False) -> Json:
    """A push as a homeserver sends it, for an event that does not exist. `is_long`: with a text of 4,000 characters."""
    device: dict[str, Any] = {"app_id": fallback.app_id, "pushkey": fallback.pushkey, "pushkey_ts": 0, "data": {}}
    notification: dict[str, Any] = {
        "event_id": event_id,
        "room_id": "!test:heliograph.invalid",
        "prio": "high",
        "counts": {"unread": 1},
        "devices": [device],
    }
    if fallback.is_event_id_only:
        device["data"]["format"] = "event_id_only"
    else:
        device["tweaks"] = {"sound": "default"}
        notification |= {
            "type": "m.room.message",
            "sender": "@heliograph:heliograph.invalid",
            "sender_display_name": "Heliograph",
            "content": {"msgtype": "m.text", "body": "x" * 4000 if is_long else "A test of the fallback."},
        }
    return {"notification": notification}


def explain_answer(answer: GatewayAnswer, pushkey: str, *, is_long: bool = False) -> Finding:
    """A finding about the gateway's answer to a trial push: what it means for those that the homeserver will send."""
    if 200 <= answer.status < 300:
        return _explain_success(answer, pushkey)
    if 300 <= answer.status < 400:
        return _bad(answer, "redirects, and homeservers do not follow", "Use the address that it redirects to.")
    if answer.status == 413 and is_long:
        return _bad(
            answer,
            "does not take a long message",
            "Keep event_id_only: one push that is refused for its size holds up all later ones for a day.",
        )
    title, hint = _EXPLAINED.get(answer.status, ("failed", "Look into its log, and try again later."))
    if answer.retry_after and answer.status in (429, 503):
        hint = f"It asks to wait for {answer.retry_after[:40]} s. {hint}"
    return _bad(answer, title, hint)


_EXPLAINED: Mapping[int, tuple[str, str]] = {
    400: ("does not understand the push", "Is this the address of a Matrix push gateway?"),
    401: ("wants to be signed in to", "Homeservers cannot: let anonymous writers publish to the topic."),
    403: ("forbids it", "Homeservers do not sign in: let anonymous writers publish to the topic."),
    404: ("knows no such place", "Is this the address of a Matrix push gateway?"),
    405: ("takes no pushes there", "Is this the address of a Matrix push gateway?"),
    413: (
        "finds even the smallest push too large",
        "Raise its limit for the size of a message: the homeserver would try the same push again for a day.",
    ),
    429: (
        "has had too many pushes (its rate limit)",
        "Wait, or use a server of your own; a topic named 'up' and twelve characters counts against its reader.",
    ),
    507: (
        "has nobody to deliver to: no app has subscribed to the topic lately",
        "Subscribe to the topic on your phone first, then try again.",
    ),
    502: ("cannot reach what is behind it", "Look into its log, and try again later."),
    503: ("is overloaded or down", "Try again later."),
}


def _explain_success(answer: GatewayAnswer, pushkey: str) -> Finding:
    if not isinstance(answer.body, dict | list):
        return _bad(
            answer,
            "answers without JSON, which homeservers take for a failure",
            "Is this the address of a Matrix push gateway?",
        )
    rejected = answer.body.get("rejected") if isinstance(answer.body, dict) else None
    if isinstance(rejected, list) and pushkey in rejected:
        return bad(
            "The gateway rejects the pushkey: a homeserver would delete the pusher.",
            "For ntfy: the topic must begin with the server's own base-url, and somebody must have subscribed to it "
            "within the last hours.",
        )
    return good("The gateway took a push.")


def _bad(answer: GatewayAnswer, what: str, hint: str) -> Finding:
    return bad(f"The gateway {what} (HTTP {answer.status}).", hint)


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        # Python checks port and host only when they are read.
        _ = url.port, url.hostname
    except ValueError:
        return None
    return url


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
