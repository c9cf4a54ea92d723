"""Cursors of psycopg 3 that put the identity on in the flight of the statement.

BEGIN, the preamble and the caller's statement travel in one pipeline: a statement
costs one round trip, as without us. The connection itself stays in autocommit, and
psycopg decides ``commit()`` and ``rollback()`` by what libpq reports, so that both
still work. What no pipeline can carry (COPY, ``stream()``, named cursors, several
statements in one string) follows BEGIN and the preamble in a flight of its own.
https://www.psycopg.org/psycopg3/docs/advanced/pipeline.html
"""

from __future__ import annotations

import contextlib
import functools
import re
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
from psycopg import sql

from jwtrole.drivers.carrier import (
    Carrier,
    carrier_of,
    detach,
    hang,
    require_pipeline,
)
from jwtrole.drivers.flight import Preamble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Connection = psycopg.Connection[Any]

_Cursor = TypeVar("_Cursor", bound=psycopg.Cursor[Any])

__all__ = [
    "Carrier",
    "FusedCursorMixin",
    "FusedServerCursorMixin",
    "attach",
    "carrier_of",
    "detach",
    "fused",
    "require_pipeline",
]

_CONTROL = re.compile(
    r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*"
    r"(?:begin|start\s+transaction|commit|end|rollback|abort|release)\b",
    re.IGNORECASE | re.DOTALL,
)


def attach(connection: Connection, carrier: Carrier) -> None:
    """Have the fused cursors of a connection put identities on."""
    connection.autocommit = True
    connection.server_cursor_factory = fused(connection.server_cursor_factory)
    hang(carrier, connection)


def _text(query: object, connection: Connection) -> str | None:
    if isinstance(query, sql.Composable):
        return query.as_string(connection)
    if isinstance(query, bytes):
        return query.decode(errors="replace")
    return query if isinstance(query, str) else None


def _several(text: str | None) -> bool:
    # A semicolon in a literal counts as well: that costs a round trip, no more.
    return text is None or ";" in text.rstrip("; \t\r\n")


def _nothing() -> None:
    """Send the preamble alone."""


class FusedCursorMixin(psycopg.Cursor[Any]):
    """Put the identity on with each statement; goes before a psycopg cursor class.

    Without an attached :class:`Carrier` nothing changes.
    """

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Run a statement as whoever is acting, in one flight with what it needs."""
        carrier = carrier_of(self.connection)
        if carrier is None:
            return super().execute(query, params, **options)
        text = _text(query, self.connection)
        several = _several(text)
        with self._held(carrier):
            if text is not None and not several and _CONTROL.match(text):
                super().execute(query, params, **options)
                if self.statusmessage == "COMMIT":
                    # AND CHAIN, perhaps: no idle moment tells of the end.
                    carrier.worn = None
                return self
            run = functools.partial(super().execute, query, params, **options)
            if several:
                with self._apart(carrier):
                    run()
            else:
                self._together(carrier, run)
        return self

    def executemany(
        self, query: Any, params_seq: Iterable[Any], *, returning: bool = False
    ) -> None:
        """Run a statement for each set of parameters, all in one flight."""
        carrier = carrier_of(self.connection)
        if carrier is None:
            super().executemany(query, params_seq, returning=returning)
            return
        rows = list(params_seq)
        run = functools.partial(super().executemany, query, rows, returning=returning)
        with self._held(carrier):
            self._together(carrier, run)

    @contextlib.contextmanager
    def copy(self, *args: Any, **options: Any) -> Iterator[psycopg.Copy]:
        """COPY as whoever is acting."""
        with self._own_flight(), super().copy(*args, **options) as copy:
            yield copy

    def stream(self, *args: Any, **options: Any) -> Iterator[Any]:
        """Return row after row as whoever is acting when the first is asked for."""
        with self._own_flight():
            yield from super().stream(*args, **options)

    @contextlib.contextmanager
    def _own_flight(self) -> Iterator[None]:
        carrier = carrier_of(self.connection)
        if carrier is None:
            yield
            return
        with self._held(carrier), self._apart(carrier):
            yield

    @contextlib.contextmanager
    def _held(self, carrier: Carrier) -> Iterator[None]:
        """Keep others off the connection, and its memory true before and after."""
        with carrier.lock:
            carrier.forget(self.connection)
            try:
                yield
            finally:
                carrier.forget(self.connection)

    def _together(self, carrier: Carrier, run: Callable[[], object]) -> None:
        if not Preamble(self.connection, carrier).fly(run):
            # Nothing ran: what follows a failure in a pipeline is left out.
            Preamble(self.connection, carrier, again=False).fly(run)

    @contextlib.contextmanager
    def _apart(self, carrier: Carrier) -> Iterator[None]:
        alone = self._opened(carrier)
        try:
            yield
        except BaseException:
            if alone:
                self.connection.rollback()
            raise
        if alone:
            self.connection.commit()

    def _opened(self, carrier: Carrier, *, again: bool = True) -> bool:
        """Send the preamble by itself; say whether a transaction must be ended."""
        preamble = Preamble(self.connection, carrier, again=again)
        # In autocommit the identity needs a transaction that outlives one flight.
        alone = preamble.idle and not preamble.opens and preamble.needed
        preamble.opens = preamble.opens or alone
        try:
            on = preamble.fly(_nothing)
        except BaseException:
            if alone:
                self.connection.rollback()
            raise
        return alone if on else self._opened(carrier, again=False)


class FusedServerCursorMixin(FusedCursorMixin):
    """Do the same for named cursors; goes before a psycopg server cursor class.

    PostgreSQL reads the claims of a cursor's policies at each FETCH. Another identity
    never meets it: a change inside the transaction is refused, or closes the cursor.
    """

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Declare the cursor as whoever is acting."""
        with self._own_flight():
            # The statement itself is no text that could be sent with others.
            super(FusedCursorMixin, self).execute(query, params, **options)
        return self


def fused(factory: type[_Cursor]) -> type[_Cursor]:
    """Return a cursor class that puts identities on and is otherwise the given one."""
    if issubclass(factory, FusedCursorMixin):
        return factory
    made = _made.get(factory)
    if made is None:
        server = issubclass(factory, psycopg.ServerCursor)
        mixin = FusedServerCursorMixin if server else FusedCursorMixin
        made = _made.setdefault(factory, type(factory.__name__, (mixin, factory), {}))
    return made


# Each class once, so that connections of one kind share theirs.
_made: dict[type[Any], type[Any]] = {}
