"""Who is acting now, in this thread, task or greenlet.

A :class:`contextvars.ContextVar` holds it, so that threads, asyncio tasks, asgiref's
``sync_to_async`` and greenlets each see their own.
"""

from __future__ import annotations

import enum
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from jwtrole.identity import Identity

__all__ = ["UNSET", "Unset", "acting", "acting_as", "current_identity"]


class Unset(enum.Enum):
    """Be the type of :data:`UNSET`."""

    UNSET = "unset"


#: Nobody has said yet who is acting: outside any request and any ``acting_as``.
UNSET = Unset.UNSET

_acting: ContextVar[Identity | Unset | None] = ContextVar(
    "jwtrole_identity", default=UNSET
)


def current_identity() -> Identity | None:
    """Return the identity that is acting, or ``None``."""
    found = _acting.get()
    return None if found is UNSET else found


def acting() -> Identity | Unset | None:
    """Return who is acting, telling "nobody" (``None``) from "not said" (``UNSET``)."""
    return _acting.get()


class acting_as:  # noqa: N801  a verb, used as a context manager
    """Act as an identity for the length of a block, then as whoever acted before.

    Works with ``with`` and ``async with``; blocks nest. An instance may be entered
    again after it has been left, not before.

    Args:
        identity: What :meth:`jwtrole.JWTRole.verify` returned, or ``None`` to act as
            nobody: the anonymous role where one is configured, else a refusal.
    """

    __slots__ = ("_identity", "_token")

    def __init__(self, identity: Identity | None) -> None:
        self._identity = identity
        self._token: Token[Identity | Unset | None] | None = None

    def __enter__(self) -> Self:
        if self._token is not None:
            msg = "This acting_as block is already entered: make one for each block."
            raise RuntimeError(msg)
        self._token = _acting.set(self._identity)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            _acting.reset(token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)
