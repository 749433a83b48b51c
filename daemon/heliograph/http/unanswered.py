"""Words for people why an HTTP request got no answer: the only place that looks into aiohttp's errors.

Each is a phrase without a full stop, which fits behind "... cannot be reached: ".
"""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp

from heliograph.core.text.clean import clean_line
from heliograph.http.repetition import Disconnected

_LIMIT = 200

_TLS_SPOKEN_TO_NONE = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
)
"""OpenSSL's reasons if the other side answers a TLS handshake in clear text."""
_NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL})

# Codes of X509_verify_cert_error_string(3). Python passes on the number, and has no names for these.
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED = frozenset({18, 19})
_WRONG_NAME = frozenset({62, 64})


def word_unanswered(error: BaseException) -> str:
    """The phrase for `error`, which aiohttp or the operating system below raised."""
    match error:
        # From the special to the general: most of aiohttp's errors are subclasses of others further down.
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorDNSError():
            return _word_lookup(error)
        case aiohttp.ClientConnectorCertificateError():
            return _word_certificate(_plain(error.host), error.certificate_error)
        case aiohttp.ClientConnectorSSLError():
            return _word_tls(error)
        case aiohttp.ClientConnectorError():
            return _word_connecting(error)
        case aiohttp.ServerDisconnectedError() | Disconnected() | OSError(errno=errno.ECONNRESET | errno.EPIPE):
            return "the connection was closed without an answer"
        case aiohttp.ClientPayloadError():
            return "the answer ended before its end"
        case aiohttp.ClientResponseError():
            return "what answers there does not speak HTTP"
        case aiohttp.InvalidURL():
            return "that is no address that can be asked"
    return f"no whole answer ({_plain(str(error)) or type(error).__name__})"


def _word_lookup(error: aiohttp.ClientConnectorDNSError) -> str:
    host = _plain(error.host)
    if error.os_error.errno == socket.EAI_AGAIN:
        return f"the name {host} cannot be looked up (is there a network?)"
    return f"the name {host} is not known"


def _word_certificate(host: str, error: Exception) -> str:
    subject = f"the certificate of {host}"
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    if code == _EXPIRED:
        return f"{subject} has expired"
    if code == _NOT_YET_VALID:
        return f"{subject} is not valid yet (is the clock of this machine right?)"
    if code in _WRONG_NAME:
        return f"{subject} is for another name"
    if code in _SELF_SIGNED:
        return f"{subject} is not trusted (self-signed)"
    why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
    return f"{subject} is not trusted ({_plain(why)})"


def _word_tls(error: aiohttp.ClientConnectorSSLError) -> str:
    cause = error.os_error
    reason = str(cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
    place = _word_place(error)
    if reason in _TLS_SPOKEN_TO_NONE:
        return f"what answers at {place} does not speak TLS (https)"
    return f"no TLS connection to {place} ({_plain(reason.replace('_', ' ').lower()) or type(cause).__name__})"


def _word_connecting(error: aiohttp.ClientConnectorError) -> str:
    place, number = _word_place(error), error.os_error.errno
    if number == errno.ECONNREFUSED:
        return f"nothing answers at {place}"
    if number in _NO_WAY:
        return f"there is no way to {place} (is there a network?)"
    if number in (errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNABORTED):
        return f"{place} does not answer"
    return f"no connection to {place} ({_plain(error.os_error.strerror or '') or type(error.os_error).__name__})"


def _word_place(error: aiohttp.ClientConnectorError) -> str:
    return f"{_plain(error.host)}, port {error.port}"


def _plain(text: str) -> str:
    return clean_line(text, _LIMIT)
