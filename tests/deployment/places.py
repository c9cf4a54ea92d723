"""Where programs that refuse to be root keep their files, and as whom they run."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Server


def account(server: Server) -> str | None:
    """Return the user whose programs can reach a server's socket; ``None`` for us.

    PostgreSQL and PgBouncer refuse to run as root, and the socket of a server that
    root has started stands where its own user alone may look.
    """
    if os.geteuid() != 0:
        return None
    sockets = Path(server.address[0])
    owner = sockets.owner() if sockets.is_dir() else "root"
    return "nobody" if owner == "root" else owner


@contextmanager
def directory(name: str, user: str | None) -> Iterator[Path]:
    """Return an empty directory with a short name: a socket's path is limited."""
    place = Path(tempfile.mkdtemp(prefix=f"jwtrole-{name}-"))
    if user:
        shutil.chown(place, user, pwd.getpwnam(user).pw_gid)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
