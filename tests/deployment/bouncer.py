"""A real PgBouncer before the run's server: few backends, shared by all clients."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import conninfo

from tests import postgres
from tests.deployment.places import account, directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: How many backends all clients of one database and login share.
BACKENDS = 2

_CLIENTS = (postgres.LOGIN, postgres.OWNER, "postgres")


def program() -> str | None:
    """Return where PgBouncer is; Debian keeps it off the ordinary user's path."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
    return shutil.which("pgbouncer", path=path)


@contextmanager
def running(
    server: postgres.Server, settings: Mapping[str, str]
) -> Iterator[postgres.Server]:
    """Run PgBouncer before a server and return the server as its clients see it.

    Args:
        server: The server behind it.
        settings: What stands under ``[pgbouncer]`` beyond what a test needs.
    """
    found, user = program(), account(server)
    assert found
    with directory("bouncer", user) as place:
        (place / "users").write_text("".join(f'"{who}" ""\n' for who in _CLIENTS))
        with (place / "pgbouncer.ini").open("w") as file:
            _configuration(server, place, settings).write(file)
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [found, place / "pgbouncer.ini"], user=user, cwd=place,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        dsn = conninfo.make_conninfo(server.dsn, host=str(place), port=6432)
        try:
            _wait(process, dsn, place / "log")
            yield postgres.Server(dsn, lambda: None)
        finally:
            process.terminate()
            process.wait(10)


def _configuration(
    server: postgres.Server, place: Path, settings: Mapping[str, str]
) -> configparser.ConfigParser:
    host, port = server.address
    found = configparser.ConfigParser(interpolation=None)
    found["databases"] = {"*": f"host={host} port={port}"}
    found["pgbouncer"] = {
        # Sockets in a directory of its own: no port that another run could have.
        "listen_addr": "",
        "listen_port": "6432",
        "unix_socket_dir": str(place),
        "auth_type": "trust",
        "auth_file": str(place / "users"),
        "default_pool_size": str(BACKENDS),
        "max_client_conn": "200",
        # A client that never gets a backend fails, rather than wait for ever.
        "query_wait_timeout": "30",
        **settings,
    }
    return found


def _wait(process: subprocess.Popen[bytes], dsn: str, log: Path) -> None:
    for _ in range(500):
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            if process.poll() is not None:
                break
            time.sleep(0.02)
        else:
            return
    message = f"PgBouncer does not answer:\n{log.read_text()}"
    raise AssertionError(message)
