"""A real hot standby of the run's server: a base backup that replays what it writes.

https://www.postgresql.org/docs/current/warm-standby.html
"""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo

from tests import postgres
from tests.deployment.places import account, directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Standby:
    """Be a hot standby and the server it follows.

    Args:
        primary: The server it was copied from.
        server: The standby, for whoever reads there.
    """

    primary: postgres.Server
    server: postgres.Server

    def catch_up(self) -> None:
        """Wait until all that has been committed so far can be read."""
        written = _value(self.primary, "SELECT pg_current_wal_lsn()")
        for _ in range(1500):
            if _value(
                self.server, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written
            ):
                return
            time.sleep(0.02)
        message = "the standby did not catch up within 30 seconds"
        raise AssertionError(message)


@contextmanager
def following(primary: postgres.Server) -> Iterator[Standby]:
    """Run a hot standby of a server for the length of a block."""
    programs = Path(
        _value(primary, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    )
    user = account(primary)
    with directory("standby", user) as place:

        def run(name: str, *arguments: str) -> None:
            subprocess.run(
                [programs / name, "-D", place / "base", *arguments],
                check=True, user=user, cwd=place, timeout=60,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip

        run("pg_basebackup", "-d", primary.dsn, "-c", "fast", "-R", "-N")
        # A socket in a directory of its own: no port that another run could have.
        options = f"-c listen_addresses= -c port=5432 -k {place} -c fsync=off"
        run("pg_ctl", "-w", "-l", str(place / "log"), "-o", options, "start")
        dsn = conninfo.make_conninfo(primary.dsn, host=str(place), port=5432)
        try:
            yield Standby(primary, postgres.Server(dsn, lambda: None))
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


def _value(server: postgres.Server, query: str, *given: Any) -> Any:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        row = connection.execute(query.encode(), given or None).fetchone()
    assert row is not None
    return row[0]
