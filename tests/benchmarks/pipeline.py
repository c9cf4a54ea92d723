"""Statements in libpq's pipeline, and what they took the server.

The server's share is the processor time of its backend: it leaves out the client, the
network and the moments in which somebody else had the core. In a pipeline the backend
finds the next message when it has answered one, as it does behind the drivers.
https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import pq

from tests.benchmarks.measuring import Reading, processor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg.pq.abc import PGresult

    from jwtrole.begin import Statement

__all__ = [
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "Line",
    "Message",
    "Repeated",
    "Transaction",
    "messages",
]

_GOOD = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class Message(NamedTuple):
    """Be one statement to send.

    Args:
        sql: Its text, or the name of a prepared one.
        parameters: What is bound.
        prepared: Whether it is a name.
    """

    sql: str
    parameters: tuple[str, ...] = ()
    prepared: bool = False


BEGIN, COMMIT, ROLLBACK = Message("BEGIN"), Message("COMMIT"), Message("ROLLBACK")


def messages(statements: Iterable[Statement]) -> list[Message]:
    """Return what the product would send as messages: bound and never prepared."""
    return [Message(one.sql, one.parameters) for one in statements]


class Line:
    """Be a connection that is in pipeline mode for good.

    Args:
        conninfo: Where to.
    """

    def __init__(self, conninfo: str) -> None:
        self._connection = psycopg.connect(conninfo, autocommit=True)
        self._pgconn = self._connection.pgconn
        self._clock = processor(self._connection.info.backend_pid)
        self._pgconn.enter_pipeline_mode()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def prepare(self, name: str, sql: str) -> None:
        """Prepare a statement."""
        self._pgconn.send_prepare(name.encode(), sql.encode())
        self._pgconn.pipeline_sync()
        self._received(1)

    def fly(self, flights: Sequence[Sequence[Message]]) -> list[list[PGresult]]:
        """Send flights of messages, each ended by a Sync, and return what came back.

        Raises:
            psycopg.Error: The server refused one.
        """
        for flight in flights:
            for sql, parameters, prepared in flight:
                bound = [value.encode() for value in parameters]
                if prepared:
                    self._pgconn.send_query_prepared(sql.encode(), bound)
                else:
                    self._pgconn.send_query_params(sql.encode(), bound)
            self._pgconn.pipeline_sync()
        return [self._received(len(flight)) for flight in flights]

    def timed(
        self, flights: Sequence[Sequence[Message]]
    ) -> tuple[float, float, list[list[PGresult]]]:
        """Return what the backend and what the wall's clock say, and the answers.

        Both are in microseconds.
        """
        began, spent = time.perf_counter_ns(), self._clock()
        answers = self.fly(flights)
        spent, wall = self._clock() - spent, time.perf_counter_ns() - began
        return spent / 1000, wall / 1000, answers

    def _received(self, count: int) -> list[PGresult]:
        found = []
        for _ in range(count):
            result = self._pgconn.get_result()
            if result is None or result.status not in _GOOD:
                said = result.error_message if result else b"no answer"
                raise psycopg.OperationalError(said.decode(errors="replace"))
            found.append(result)
            self._pgconn.get_result()  # the nothing that ends a statement's results
        self._pgconn.get_result()  # the Sync
        return found


def rows_of(result: PGresult, *, counted: bool) -> int:
    """Return how many rows a statement read or wrote, or the number it answered."""
    if counted:
        return int(result.get_value(0, 0) or 0)
    return result.ntuples or result.command_tuples or 0


@dataclass
class Transaction:
    """Measure whole transactions: BEGIN, what puts an identity on, one query, COMMIT.

    Args:
        name: What it is called.
        line: Where it runs.
        preamble: What stands between BEGIN and the query.
        query: The query, which answers with one row.
        batch: How many transactions one reading takes.
    """

    name: str
    line: Line
    preamble: list[Message]
    query: str = "SELECT 1"
    batch: int = 20
    rows: int = 1
    note: str = ""

    def measure(self) -> Reading:
        """Run a batch in one pipeline, each transaction ended by its own Sync."""
        flight = [BEGIN, *self.preamble, Message(self.query), COMMIT]
        spent, wall, answers = self.line.timed([flight] * self.batch)
        found = {rows_of(answer[-2], counted=False) for answer in answers}
        rows = found.pop() if len(found) == 1 else -1
        return Reading(spent / self.batch, wall / self.batch, rows)


@dataclass
class Repeated:
    """Measure one query again and again inside a transaction of some identity.

    Args:
        name: What it is called.
        line: Where it runs.
        opening: What goes before, untimed: the identity and settings.
        query: What is timed.
        rows: How many rows it finds, or the number it answers.
        counted: Whether it answers with that number.
        batch: How often it runs in one reading.
        calls: What the time is divided by besides: the turns of its own loop.
        by_wall: Whether the wall's clock counts, as where several processes work.
        note: What else is to be said.
    """

    name: str
    line: Line
    opening: list[Message]
    query: Message
    rows: int
    counted: bool = False
    batch: int = 5
    calls: int = 1
    by_wall: bool = False
    note: str = ""

    def measure(self) -> Reading:
        """Open a transaction, run the batch, and take everything back."""
        self.line.fly([[BEGIN, *self.opening]])
        spent, wall, answers = self.line.timed([[self.query]] * self.batch)
        self.line.fly([[ROLLBACK]])
        found = {rows_of(answer[0], counted=self.counted) for answer in answers}
        rows = found.pop() if len(found) == 1 else -1
        times = self.batch * self.calls
        return Reading((wall if self.by_wall else spent) / times, wall / times, rows)
