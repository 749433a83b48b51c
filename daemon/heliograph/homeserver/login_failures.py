"""Says in two sentences why nobody could be signed in."""

from __future__ import annotations

from heliograph.core.text.clean import count_things
from heliograph.errors import AccountLocked, BadAnswer, RateLimited, Refused, ServerError, UserError
from heliograph.homeserver.answer import plain_line
from heliograph.homeserver.session import Session


def explain(error: ServerError, session: Session) -> UserError:
    server = session.homeserver_url
    match error:
        case RateLimited():
            wait = count_things(round(error.after), "second") if error.after else "some minutes"
            return UserError(f"{server} had too many attempts to sign in lately.", f"Wait {wait} and try again.")
        case Refused(errcode="M_USER_DEACTIVATED"):
            return UserError("This account was closed.", "It cannot sign in any more; ask whoever runs the server.")
        case AccountLocked():
            return UserError("This account is locked.", "Ask whoever runs the server to unlock it.")
        case Refused():
            return UserError(
                f"{server} does not let us sign in: it {error}.", "Try another way: see `heliograph login --help`."
            )
        case BadAnswer():
            return UserError(
                f"{server} does not answer as a homeserver: it {error}.", "Check the URL, and try again later."
            )
    return UserError(f"{server} cannot be reached: {error}.", "Check your connection, and try again.")


def nonsense(session: Session) -> UserError:
    return UserError(
        f"{session.homeserver_url} gave an answer that is not one to signing in.",
        "Check the URL; if it is right, tell whoever runs the server.",
    )


def somebody_else(found: str, wanted: str) -> UserError:
    return UserError(
        f"That signs in {plain_line(found)}, not {wanted}.",
        f"If that is you: heliograph login {plain_line(found)}. Otherwise change the account in the browser first.",
    )
