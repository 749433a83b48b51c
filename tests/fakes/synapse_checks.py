"""What Synapse refuses, by Synapse's own code, so that no fake is more lenient than the real thing."""

from __future__ import annotations

import json
import warnings
from functools import lru_cache
from urllib.parse import urlsplit

import jsonschema
from jsonschema import FormatChecker

from heliograph.errors import Refused
from heliograph.ports import Pusher

with warnings.catch_warnings():
    # Of jsonschema, about how Synapse registers its formats.
    warnings.simplefilter("ignore", DeprecationWarning)
    from synapse.api.filtering import USER_FILTER_SCHEMA


@lru_cache(maxsize=256)
def check_filter(text: str) -> None:
    """As the query of GET /sync, and as `Filtering.check_valid_filter`, which wants a whole server. Raises Refused."""
    if not text.isascii():
        raise Refused(400, "M_UNKNOWN", "refused with HTTP 400: M_UNKNOWN Query parameter 'filter' must be ascii")
    try:
        jsonschema.validate(json.loads(text), USER_FILTER_SCHEMA, format_checker=FormatChecker())
    except jsonschema.ValidationError as error:
        raise Refused(400, "M_UNKNOWN", f"refused with HTTP 400: M_UNKNOWN {error.message}") from None


def check_pusher(pusher: Pusher) -> None:
    """As Synapse's `HttpPusher` takes its configuration. Raises Refused."""
    if pusher.kind != "http":
        return
    url = pusher.data.get("url")
    if not isinstance(url, str) or urlsplit(url).path != "/_matrix/push/v1/notify":
        raise Refused(400, "M_MISSING_PARAM", "refused with HTTP 400: M_MISSING_PARAM Config Error: 'url'")
