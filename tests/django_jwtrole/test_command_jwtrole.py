"""``manage.py jwtrole`` tells the database whom to trust, as the owner."""

from __future__ import annotations

import base64
import contextlib
import uuid
from typing import TYPE_CHECKING

import pytest

from tests import postgres, trusting
from tests.django_project.process import Project
from tests.django_project.settings import JWTROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

KEY: str = JWTROLE["ISSUERS"][0]["secret"]


@pytest.fixture(scope="module")
def sealed(server: postgres.Server) -> Iterator[Project]:
    """Return the project on a database that verifies its tokens."""
    name = f"told_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    project = Project(server, name, "database")
    project.manage("migrate", "django_jwtrole", "--verbosity", "0")
    project.manage("jwtrole", "issuers", "sync", "--verbosity", "0")
    yield project
    server.drop_database(name)


@pytest.fixture
def owner(sealed: Project) -> Iterator[psycopg.Connection]:
    """Return a connection of the owner."""
    with contextlib.closing(
        sealed.server.connect(postgres.OWNER, sealed.database)
    ) as found:
        yield found


def read_while_waiting(
    sealed: Project, owner: psycopg.Connection, lock: str, *words: str
) -> str:
    """Run a command that meets a lock and return what another session reads of it."""
    with contextlib.closing(
        sealed.server.connect(postgres.OWNER, sealed.database)
    ) as other:
        with owner.transaction():
            owner.execute(f"LOCK TABLE jwtrole.{lock}".encode())
            process = sealed.start("jwtrole", *words)
            read = trusting.waiting(other)
        with process:
            output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return read


def test_a_key_stands_in_no_text_that_others_read(
    sealed: Project, owner: psycopg.Connection
) -> None:
    """While a shared secret is pushed, another session of the owner reads no key."""
    owner.execute("DELETE FROM jwtrole.key")

    read = read_while_waiting(sealed, owner, "key IN SHARE MODE", "issuers", "sync")

    assert "jwtrole.add_key" in read
    assert base64.urlsafe_b64encode(KEY.encode()).rstrip(b"=").decode() not in read
    assert "$2" in read
