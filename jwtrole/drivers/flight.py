"""The flight of BEGIN and the preamble on a connection of psycopg 3."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg import pq
from psycopg.generators import send
from psycopg.rows import tuple_row

from jwtrole.begin import Statement
from jwtrole.drivers.carrier import status_of
from jwtrole.sqlstates import TICKET_REFUSED, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from jwtrole.drivers.carrier import Carrier
    from jwtrole.errors import JWTRoleError

    Connection = psycopg.Connection[Any]

__all__ = ["Preamble"]

_Status = pq.TransactionStatus


class Preamble:
    """Send BEGIN and the preamble, and tell its failures from the caller's.

    Args:
        connection: Where to.
        carrier: What its cursors share.
        again: Whether a refused ticket may be answered with ``False``.
    """

    def __init__(
        self, connection: Connection, carrier: Carrier, *, again: bool = True
    ) -> None:
        self._connection = connection
        self._carrier = carrier
        self._again = again
        self._want = carrier.want()
        self._sent: list[tuple[Statement, psycopg.Cursor[Any]]] = []
        self.statements: tuple[Statement, ...] = carrier.statements(
            connection, self._want
        )
        self.idle: bool = status_of(connection) == _Status.IDLE
        self.opens: bool = self.idle and carrier.explicit

    @property
    def needed(self) -> bool:
        """Tell whether there is anything to send."""
        return self.opens or bool(self.statements)

    def fly(self, run: Callable[[], object]) -> bool:
        """Make this and what is run one flight, this first.

        Returns:
            ``False`` where a ticket was refused: nothing ran, and the same with a
            login may follow.

        Raises:
            JWTRoleError: The database refused the identity; nothing ran.
        """
        if not self.needed:
            run()
            return True
        try:
            with self._pipeline():
                self._send()
                run()
            self._answered()
        except psycopg.Error as error:
            if not self._failed():
                # A ticket is good whatever became of the caller's statement.
                self._answered()
                raise
            if self._ticket_refused(error) and self._undone():
                return False
            refusal = self._refusal(error)
            if refusal is None:
                raise
        else:
            return True
        # Out here, lest it carry the driver's error and the frames it went through.
        raise refusal

    def _send(self) -> None:
        begin = (_begin(self._connection),) if self.opens else ()
        for statement in (*begin, *self.statements):
            cursor = psycopg.Cursor(self._connection, row_factory=tuple_row)
            self._sent.append((statement, cursor))
            # A prepared preamble would make each rollback() cost a round trip more.
            cursor.execute(
                statement.with_percent().encode(),
                statement.parameters or None,
                prepare=False,
            )

    @contextlib.contextmanager
    def _pipeline(self) -> Iterator[None]:
        if self._connection.pgconn.pipeline_status == pq.PipelineStatus.ON:
            yield
            return
        with self._connection.pipeline() as pipeline:
            cast("Any", pipeline)._exit_gen = functools.partial(_land, pipeline)
            yield

    def _answered(self) -> None:
        """Read what was asked; in the caller's own pipeline that waits for it."""
        tickets: Any = self._carrier.tickets
        for statement, cursor in self._sent:
            if statement.kind == "plain":
                continue
            row = cast("tuple[Any, ...]", cursor.fetchone())
            if statement.kind == "login":
                tickets.keep(self._want, *row[-2:])

    def _failed(self) -> bool:
        return any(cursor.pgresult is None for _, cursor in self._sent)

    @property
    def _kind(self) -> str:
        return self.statements[-1].kind if self.statements else "plain"

    def _ticket_refused(self, error: psycopg.Error) -> bool:
        if self._kind != "resume" or error.sqlstate not in TICKET_REFUSED:
            return False
        cast("Any", self._carrier.tickets).forget(self._want)
        return True

    def _undone(self) -> bool:
        """Undo what was begun, where it was begun here and may be begun again."""
        if not (self.idle and self._again):
            return False
        if self._connection.pgconn.pipeline_status != pq.PipelineStatus.OFF:
            # What followed in the caller's own pipeline was left out, and says so.
            with (
                contextlib.suppress(psycopg.errors.PipelineAborted),
                self._connection.pipeline() as pipeline,
            ):
                pipeline.sync()
        self._connection.rollback()
        return True

    def _refusal(self, error: psycopg.Error) -> JWTRoleError | None:
        role = "" if self._want is None else self._want.role
        return error_of(error.sqlstate, role, self._kind)


def _land(pipeline: Any) -> Generator[Any, Any, None]:
    """End a pipeline as psycopg does, without the Flush that it sends after the Sync.

    Sync has the server answer anyway. What comes after it belongs to no transaction: a
    transaction pooler gives the client another backend for the Flush and waits for an
    answer that never comes, while everybody else waits for the backend.
    """
    try:
        pipeline._enqueue_sync()
        yield from pipeline._communicate_gen()
    finally:
        # A Sync that never went out, as after COPY, leaves no other way to an answer.
        unsent = bool(pipeline.command_queue)
        yield from send(pipeline.pgconn)
        yield from pipeline._fetch_gen(flush=unsent)


def _begin(connection: Connection) -> Statement:
    parts = ["BEGIN"]
    if connection.isolation_level is not None:
        level = psycopg.IsolationLevel(connection.isolation_level)
        parts.append(f"ISOLATION LEVEL {level.name.replace('_', ' ')}")
    if connection.read_only is not None:
        parts.append("READ ONLY" if connection.read_only else "READ WRITE")
    if connection.deferrable is not None:
        parts.append("DEFERRABLE" if connection.deferrable else "NOT DEFERRABLE")
    return Statement(" ".join(parts))
