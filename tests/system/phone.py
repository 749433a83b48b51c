"""The pusher of the user's phone, on the homeserver."""

from __future__ import annotations

from heliograph.demo.user import DemoUser


class Phone:
    """Another device's pusher, as the homeserver has it."""

    def __init__(self, owner: DemoUser) -> None:
        self._owner = owner

    async def set_up(self) -> None:
        pusher = {
            "kind": "http",
            "app_id": "im.vector.app.android",
            "pushkey": "phone",
            "app_display_name": "Element Android",
            "device_display_name": "Phone",
            "lang": "en",
            "data": {"url": "https://push.invalid/_matrix/push/v1/notify"},
        }
        await self._owner.call("POST", "/pushers/set", pusher)

    async def rings(self) -> bool:
        pushers = (await self._owner.call("GET", "/pushers"))["pushers"]
        (phone,) = [each for each in pushers if each["pushkey"] == "phone"]
        return bool(phone.get("enabled", phone.get("org.matrix.msc3881.enabled", True)))

    async def is_quiet(self) -> bool:
        return not await self.rings()
