"""Reads a user id on the command line."""

from __future__ import annotations

from typing import Any

import click


class UserIdType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2 only
    """A user id (`@localpart:server`). Shells complete it from the accounts of this machine."""

    name = "user id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from heliograph.accounts import check_user_id

        return check_user_id(str(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from heliograph.accounts import list_accounts
        from heliograph.errors import UserError

        try:
            user_ids = [account.user_id for account in list_accounts()]
        except UserError:
            return []
        return [CompletionItem(user_id) for user_id in user_ids if user_id.startswith(incomplete)]
