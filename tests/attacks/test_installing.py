"""What stands in the installer's way runs as nobody."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

import pytest

from jwtrole import install
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

# Nearer to a call than PostgreSQL's own, which take anything.
_PLANTS = [
    f"CREATE FUNCTION public.{name}({given}) RETURNS text LANGUAGE plpgsql AS $$"
    " BEGIN INSERT INTO public.hit VALUES (current_user);"
    f" RETURN pg_catalog.{name}({passed}); END $$"
    for name, given, passed in (
        ("format", "text, name", "$1, $2"),
        ("format", "text, text", "$1, $2"),
        ("format", "text, text, text", "$1, $2, $3"),
        ("concat", "text, text, text", "$1, $2, $3"),
    )
]
# What the installation asks for, unqualified.
_ASKS = "SELECT format('%s', 'a'::text), format('%I', 'a'::name)"


@pytest.fixture
def trapped(server: postgres.Server) -> Iterator[psycopg.Connection]:
    """Return an owner whose search path holds functions of somebody else's."""
    name = f"trapped_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    with contextlib.closing(server.connect("postgres", name)) as admin:
        admin.execute("CREATE TABLE public.hit (who text)")
        admin.execute("GRANT ALL ON public.hit TO PUBLIC")
        for plant in _PLANTS:
            admin.execute(plant.encode())
    with contextlib.closing(server.connect(postgres.OWNER, name)) as owner:
        yield owner
    server.drop_database(name)


def hits(owner: psycopg.Connection) -> list[tuple[str]]:
    """Return as whom the planted functions have run."""
    return owner.execute("SELECT who FROM public.hit").fetchall()


@pytest.mark.parametrize("version", install.versions())
def test_planted_functions_are_not_run_by_the_owner(
    trapped: psycopg.Connection, version: int
) -> None:
    """Install, change and remove look at PostgreSQL's own functions alone."""
    release = install.release(version)
    with trapped.transaction():
        for statement in (*release.up(), *release.grants(postgres.LOGIN)):
            trapped.execute(statement.encode())
        for statement in install.change(version, install.LATEST):
            trapped.execute(statement.encode())
        path = trapped.execute("SHOW search_path").fetchone()
    with trapped.transaction():
        for statement in install.latest().down():
            trapped.execute(statement.encode())

    assert hits(trapped) == []
    assert path == ('"$user", public',)
    assert trapped.execute("SHOW search_path").fetchone() == path


def test_a_planted_function_would_be_run(trapped: psycopg.Connection) -> None:
    """The control: by the owner's own search path it comes first."""
    trapped.execute(_ASKS)

    assert hits(trapped) == [(postgres.OWNER,), (postgres.OWNER,)]
