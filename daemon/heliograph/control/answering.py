"""Wraps methods that D-Bus calls: what they raise becomes an error that says what to do, and those that act in the
user's name refuse callers that live in a sandbox."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

from dbus_fast import DBusError
from dbus_fast.annotations import DBusSignature

from heliograph.control import ERROR
from heliograph.control.peers import refuse_sandboxed
from heliograph.errors import HeliographError, UserError

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")

DBusNothing = Annotated[None, DBusSignature("")]
"""The return type of a method that answers without a value."""
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, R]]


def answering(work: Callable[Concatenate[S, P], Awaitable[R]]) -> Method[S, P, R]:
    """Wraps a method of an interface: a HeliographError becomes a D-Bus error that says what to do."""

    @functools.wraps(work)
    async def answer(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await work(self, *args, **kwargs)
        except UserError as error:
            raise DBusError(ERROR, f"{error.title}\n{error.hint}") from error
        except HeliographError as error:
            raise DBusError(ERROR, f"It did not work: {error}\nTry again later.") from error

    return answer


def acting(work: Callable[Concatenate[S, P], Awaitable[R]]) -> Method[S, P, R]:
    """Wraps a method that acts in the user's name: as `answering`, and refuses callers that live in a sandbox."""

    @functools.wraps(work)
    async def act(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        # Before any work, so that nothing is done for a caller that may not.
        await refuse_sandboxed()
        return await work(self, *args, **kwargs)

    return answering(act)
