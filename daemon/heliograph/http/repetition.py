"""Sends a request only once. By itself aiohttp repeats a GET if its connection ends without an answer.

A homeserver keeps its answer to a /sync in case the client asks again (Synapse for two minutes). A repeated poll would
get that old answer: events that the user has read since, without the receipts that say so, and they would ring.
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
    """The connection ended without an answer. Unlike after the error that it replaces, aiohttp does not try again."""


async def ask_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A client middleware of aiohttp that raises Disconnected where aiohttp would send the request again."""
    try:
        return await handler(request)
    except ClientConnectorError:
        # First, since it is a ClientOSError too: nothing was sent, and aiohttp does not repeat a failed connect.
        raise
    except (ClientOSError, ServerDisconnectedError) as error:
        raise Disconnected("the connection was closed without an answer") from error
