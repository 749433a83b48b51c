"""What a person sees in the browser: one form for everything, with an id for each part."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from aiohttp import web


def sign_in_page(title: str, *, user: str = "", code: str | None = None) -> web.Response:
    """Asks for user and password, and with `code` for a user code as well."""
    field = "" if code is None else f'<input name=code id=code value="{escape(code)}">'
    return page(
        title,
        f"<form method=post>{field}"
        f'<input name=user id=user value="{escape(user)}"><input name=password id=password type=password>'
        "<button id=allow name=answer value=allow>Continue</button>"
        "<button id=cancel name=answer value=cancel>Cancel</button></form>",
    )


def page(title: str, text: str, status: int = 200) -> web.Response:
    body = f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><h1>{escape(title)}</h1>{text}"
    return web.Response(status=status, text=body, content_type="text/html")


def way_back(address: str, **query: str) -> web.Response:
    """Sends the browser back to the program that asked."""
    return web.Response(
        status=303, headers={"Location": f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"}
    )
