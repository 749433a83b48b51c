"""Gets tokens of an authorization server, and gives them back."""

from __future__ import annotations

from heliograph.core.oauth.token_answer import Ended, TokenAnswer, TryAgain, judge_token_answer
from heliograph.core.value_type import value_type
from heliograph.errors import BadAnswer, Unreachable
from heliograph.homeserver.oauth.authorization_code import AuthorizationCode
from heliograph.homeserver.oauth.metadata import DEVICE_CODE_GRANT
from heliograph.homeserver.oauth.requests import post_form


@value_type
class OAuthTokenEndpoint:
    """The token endpoint and the revocation endpoint of an authorization server, as one client uses them."""

    token_endpoint: str
    revocation_endpoint: str
    client_id: str

    async def refresh(self, refresh_token: str) -> TokenAnswer:
        """Asks for new tokens (RFC 6749, section 6). No answer within a minute is TryAgain."""
        return await self._ask(grant_type="refresh_token", refresh_token=refresh_token)

    async def redeem_code(self, code: AuthorizationCode) -> TokenAnswer:
        """Asks for the first tokens, for what the browser brought (RFC 6749, section 4.1.3). A code is good for one
        question."""
        return await self._ask(
            grant_type="authorization_code",
            code=code.code,
            redirect_uri=code.redirect_uri,
            code_verifier=code.verifier,
        )

    async def redeem_device_code(self, device_code: str) -> TokenAnswer:
        """Asks for the first tokens, which come once the user code was entered (RFC 8628, section 3.4)."""
        return await self._ask(grant_type=DEVICE_CODE_GRANT, device_code=device_code)

    async def revoke(self, token: str) -> None:
        """Ends the session of a refresh or access token, and with it the device. Returns also if the token was good no
        more (RFC 7009, section 2.2).

        Raises Unreachable if the server does not say that it did. What it says is no proof: `homeserver.logout` looks.
        """
        form = {"token": token, "token_type_hint": "refresh_token", "client_id": self.client_id}
        answer = await post_form(self.revocation_endpoint, form)
        if answer.status == 200:
            return
        verdict = judge_token_answer(answer.status, answer.content_type, answer.body, answer.retry_after_s)
        why = verdict.why if isinstance(verdict, TryAgain) else f"HTTP {answer.status}"
        # Where the client is unknown, no session of it is left.
        if isinstance(verdict, Ended) and verdict.code == "invalid_client":
            return
        raise BadAnswer(answer.status, f"answered {why}")

    async def _ask(self, **form: str) -> TokenAnswer:
        try:
            answer = await post_form(self.token_endpoint, {**form, "client_id": self.client_id})
        except Unreachable as error:
            return TryAgain(None, str(error))
        return judge_token_answer(answer.status, answer.content_type, answer.body, answer.retry_after_s)
