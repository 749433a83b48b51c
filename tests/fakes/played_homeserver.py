"""What every homeserver that tests play over HTTP does: one user, one device, and Synapse's refusals."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, ClassVar, Self

from aiohttp import web

from fakes.synapse_checks import refused
from fakes.synapse_requests import (
    JOINED_MEMBERS,
    PUSH_RULES,
    PUSHERS,
    SET_PUSHER,
    STATE,
    VERSIONS,
    WHOAMI,
    PlayedRequest,
    Route,
    refusal_of,
)
from heliograph.core.ids import UserId
from heliograph.core.push.predefined import predefined_rules
from heliograph.errors import Refused
from support.builders import ME

Json = dict[str, Any]


class PlayedHomeserver:
    """An async context manager; it serves in the test's own event loop, on one port for its life.

    `routes` are all that it answers. Those of its own, beside whose token it is, pushers and the state of rooms, it
    answers by `serve`.
    """

    user_id: ClassVar[UserId] = ME
    device_id: ClassVar = "DEVICE"
    access_token: ClassVar = "access-token"
    routes: ClassVar[tuple[Route, ...]] = (VERSIONS, WHOAMI, PUSHERS, SET_PUSHER)
    is_told_of_hanging_up: ClassVar = False
    """A poll whose client is gone ends."""

    def __init__(self) -> None:
        self.port = 0
        self.whoami: Json = {"user_id": self.user_id, "device_id": self.device_id}
        self.whoami_status = 200
        self.pushers: list[Json] = []
        self.state: dict[str, dict[tuple[str, str], Json]] = {}
        """Of each room that the user is in: events by type and state key."""
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """On the port it had before, if it had one."""
        server = web.Server(self._answer, access_log=None, handler_cancellation=self.is_told_of_hanging_up)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Every connection is cut; what happened is kept for `start`."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def features(self) -> Json:
        """`unstable_features` of GET /versions."""
        return {}

    def has(self, route: Route) -> bool:
        """Whether it has this one of its routes now."""
        return True

    async def serve(self, route: Route, identifiers: list[str], request: PlayedRequest) -> web.StreamResponse:
        """What only this one answers. Raises Refused."""
        raise NotImplementedError(route.name)

    def set_pusher(self, body: Json) -> None:
        """Or removes it. Raises Refused."""
        key = (body["app_id"], body["pushkey"])
        self.pushers = [each for each in self.pushers if (each["app_id"], each["pushkey"]) != key]
        if body["kind"] is not None:
            self.pushers.append(body)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if not request.path.startswith("/_matrix/"):
            return web.Response(status=404, text="<html>No Such Resource</html>", content_type="text/html")
        try:
            return await self._serve(await PlayedRequest.read(request))
        except Refused as refusal:
            return refusal_of(refusal)

    async def _serve(self, request: PlayedRequest) -> web.StreamResponse:
        route, identifiers = request.route(filter(self.has, self.routes))
        request.check_token(self.access_token, is_needed=route is not VERSIONS)
        match route.name, identifiers:
            case VERSIONS.name, _:
                return web.json_response({"versions": ["v1.11"], "unstable_features": self.features})
            case WHOAMI.name, _:
                return web.json_response(self.whoami, status=self.whoami_status)
            case PUSHERS.name, _:
                return web.json_response({"pushers": self.pushers})
            case SET_PUSHER.name, _:
                self.set_pusher(request.check_pusher())
                return web.json_response({})
            case PUSH_RULES.name, _:
                return web.json_response({"global": predefined_rules(self.user_id)})
            case JOINED_MEMBERS.name, [room_id]:
                return web.json_response({"joined": self._members(room_id)})
            case STATE.name, [room_id, type_, state_key]:
                event = self._state_of(room_id).get((type_, state_key))
                if event is None:
                    raise refused(404, "M_NOT_FOUND", "Event not found.")
                return web.json_response(event if request.asks_for_whole_event else event["content"])
        return await self.serve(route, identifiers, request)

    def _members(self, room_id: str) -> Json:
        members = {key: event for (type_, key), event in self._state_of(room_id).items() if type_ == "m.room.member"}
        return {user: {"display_name": event["content"]["displayname"]} for user, event in members.items()}

    def _state_of(self, room_id: str) -> dict[tuple[str, str], Json]:
        with contextlib.suppress(KeyError):
            return self.state[room_id]
        raise refused(403, "M_FORBIDDEN", "User not in room")
