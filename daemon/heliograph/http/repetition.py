"""Requests that are made once. aiohttp repeats an idempotent one by itself if its connection ends without an answer.

A homeserver keeps the answer to a /sync for its repetition (Synapse for two minutes). The repeated poll gets what was
so when the first one was answered: events that were read since, without the receipts that say so.
"""

from __future__ import annotations

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ServerDisconnectedError,
)


class Disconnected(ClientConnectionError):
    """The connection ended without an answer. Unlike the errors it stands for, aiohttp does not try again after it."""


async def ask_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A client middleware of aiohttp. Raises Disconnected where aiohttp would send the request again."""
    try:
        return await handler(request)
    except ClientConnectorError:
        # Nothing was sent, and aiohttp does not repeat that.
        raise
    except (ClientOSError, ServerDisconnectedError) as error:
        raise Disconnected("the connection was closed without an answer") from error
