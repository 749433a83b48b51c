"""The account that the check asks with: an access token of the operator's, or one got by a password."""

from __future__ import annotations

from heliograph.core.finding import Finding, bad
from heliograph.core.value_type import value_type
from heliograph.relay.check.asking import API, ask, outcome_of, text_in
from heliograph.relay.proxy.upstream import Upstream

_METADATA = ("/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata")


@value_type
class Credentials:
    """An access token, or a user's password to get one with."""

    token: str = ""
    user: str = ""
    password: str = ""


@value_type
class SignedIn:
    """A signed-in device."""

    authorization: dict[str, str]
    user_id: str
    where: Upstream | None
    """Where the check signed in, and signs out again; None: with a token that the operator gave, which stays valid."""

    async def leave(self) -> None:
        if self.where is not None:
            await ask(self.where, "POST", f"{API}/logout", self.authorization, {})


async def has_authentication_service(homeserver: Upstream) -> bool:
    """Whether users sign in at an authentication service, and not at the homeserver (MSC2965, MSC3861)."""
    for path in _METADATA:
        answer = await ask(homeserver, "GET", path)
        if answer is not None and answer.is_good and text_in(answer, "issuer"):
            return True
    return False


async def sign_in(homeserver: Upstream, public: Upstream | None, credentials: Credentials) -> SignedIn | Finding:
    """The device, or the finding that says why there is none.

    `public`: where clients sign in, which an authentication service answers in the homeserver's place.
    """
    token, where, answer = credentials.token, None, None
    if not token:
        where = homeserver
        if await has_authentication_service(homeserver):
            if public is None:
                return bad(
                    "Users of this homeserver sign in at its authentication service, not at the homeserver.",
                    "Give the address at which clients sign in (--public-url URL), or sign in otherwise: "
                    "heliograph relay check --device-code, or "
                    "mas-cli manage issue-compatibility-token NAME | heliograph relay check --access-token-stdin",
                )
            where = public
        answer = await ask(where, "POST", f"{API}/login", body=_login(credentials))
        token = text_in(answer, "access_token")
    if not token:
        return bad(f"{credentials.user} cannot sign in: POST /login: {outcome_of(answer)}.", "Give another user.")
    authorization = {"Authorization": f"Bearer {token}"}
    answer = await ask(homeserver, "GET", f"{API}/account/whoami", authorization)
    user_id = text_in(answer, "user_id")
    if not user_id:
        return bad(f"The access token does not count: GET /account/whoami: {outcome_of(answer)}.", "Give another one.")
    return SignedIn(authorization, user_id, where)


def _login(credentials: Credentials) -> dict[str, object]:
    return {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": credentials.user},
        "password": credentials.password,
        "initial_device_display_name": "Heliograph's check of the relay",
    }
