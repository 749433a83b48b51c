"""A process that renews an account's tokens and kills itself at one of the steps.

python renewing.py STEP FOLDER TOKEN_ENDPOINT CLIENT_ID

STEP: locked (it has the lock and has asked for nothing), answered (the new tokens are in memory only), written (in a
file beside `tokens`), saved (in `tokens`, and unused), or none. The step "under way" is the test's own, which kills
the process while the answer is held back.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from heliograph.core.oauth.token_answer import TokenAnswer
from heliograph.homeserver.oauth.token_endpoint import OAuthTokenEndpoint
from heliograph.secrets.token_file import TokenFile
from heliograph.secrets.tokens import SealedTokens
from support.builders import ME


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingEndpoint:
    """The token endpoint, with a death before the question or behind the answer."""

    def __init__(self, endpoint: OAuthTokenEndpoint, step: str) -> None:
        self._endpoint = endpoint
        self._step = step

    async def refresh(self, refresh_token: str) -> TokenAnswer:
        if self._step == "locked":
            die()
        answer = await self._endpoint.refresh(refresh_token)
        if self._step == "answered":
            die()
        return answer


def die_at_replacing(step: str) -> None:
    """Has this process die before or behind the renaming of a file that was written."""
    replace = Path.replace

    def dying(self: Path, target: Path) -> Path:
        if step == "written":
            die()
        replaced = replace(self, target)
        die()
        return replaced

    Path.replace = dying  # type: ignore[method-assign, assignment]


async def main(step: str, folder: Path, token_endpoint: str, client_id: str) -> None:
    file = TokenFile(folder, ME, "pickle")
    kept = await asyncio.to_thread(file.load)
    assert kept is not None
    if step in ("written", "saved"):
        die_at_replacing(step)
    endpoint = DyingEndpoint(OAuthTokenEndpoint(token_endpoint, "", client_id), step)
    print(await SealedTokens(file, endpoint, kept).renew(kept.access_token))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
