"""``jwtrole drift`` compares a database with SQLAlchemy's metadata."""

from __future__ import annotations

import contextlib
import json
import sys
import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa

from jwtrole.cli import main
from tests import postgres
from tests.drift.worlds import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "a-password-that-nobody-may-read"

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy_jwtrole import Policy
from tests.drift.worlds import metadata


class Base(DeclarativeBase):
    metadata = metadata


more = sa.MetaData()
more_table = sa.Table(
    "more", more, sa.Column("id", sa.Integer, primary_key=True),
    Policy("more_open", using=True, to=["member"]),
)
number = 1
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a module of a project in the current directory."""
    name = f"models_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{name}.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    kept = list(sys.path)
    yield name
    sys.path[:] = kept
    sys.modules.pop(name, None)


@pytest.fixture
def made(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database in which everything is as declared."""
    name = f"cli_drift_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    engine = sa.create_engine(server.url("psycopg", postgres.OWNER, name))
    metadata.create_all(engine)
    engine.dispose()
    yield name
    server.drop_database(name)


@pytest.fixture
def admin(server: postgres.Server, made: str) -> Iterator[psycopg.Connection]:
    """Return a superuser's connection."""
    with contextlib.closing(server.connect("postgres", made)) as connection:
        yield connection


@pytest.fixture
def dsn(server: postgres.Server, made: str) -> str:
    """Return the owner's connection string."""
    return psycopg.conninfo.make_conninfo(
        server.conninfo(postgres.OWNER, made), password=SECRET
    )


@pytest.mark.parametrize("name", ["", ":Base", ":metadata"])
def test_without_drift_it_says_so(
    models: str, dsn: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A base, the default, and a MetaData are compared; the exit status is 0."""
    assert main(["drift", f"{models}{name}", "--dsn", dsn]) == 0
    assert capsys.readouterr() == ("No drift.\n", "")


def test_what_differs_is_shown_to_people(
    models: str,
    dsn: str,
    admin: psycopg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each difference has what was declared, what is there and a repair; status 1."""
    admin.execute("CREATE POLICY open ON invoice USING (true)")

    assert main(["drift", models, "--dsn", dsn]) == 1

    assert capsys.readouterr().out.splitlines() == [
        (
            "invoice: nobody declared the policy 'open', which is PERMISSIVE, the "
            "worst there is: it opens rows beside every policy that was declared."
        ),
        "  declared: nothing",
        "  there: AS PERMISSIVE FOR ALL TO PUBLIC USING (true)",
        '  repair: DROP POLICY "open" ON "invoice";',
    ]


def test_what_differs_is_listed_for_programs(
    models: str,
    dsn: str,
    admin: psycopg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --json the same comes as a list of objects; without drift as an empty."""
    assert main(["drift", models, "--dsn", dsn, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    admin.execute("ALTER TABLE invoice DISABLE ROW LEVEL SECURITY")

    assert main(["drift", models, "--dsn", dsn, "--json"]) == 1

    assert json.loads(capsys.readouterr().out) == [
        {
            "kind": "row-security-off",
            "table": "invoice",
            "object": "",
            "declared": "ROW LEVEL SECURITY enabled",
            "there": "ROW LEVEL SECURITY disabled",
            "repair": 'ALTER TABLE "invoice" ENABLE ROW LEVEL SECURITY;',
        }
    ]


def test_several_declarations_share_a_database(
    models: str, dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named together, what the one declares is no drift to the other."""
    more, both = f"{models}:more", [models, f"{models}:more"]

    assert main(["drift", more, "--dsn", dsn, "--json"]) == 1
    alone = {one["table"] for one in json.loads(capsys.readouterr().out)}
    assert main(["drift", *both, "--dsn", dsn, "--json"]) == 1
    together = json.loads(capsys.readouterr().out)

    assert main(["drift", more, "--dsn", dsn, "--json", "--declared-only"]) == 1
    declared = json.loads(capsys.readouterr().out)

    assert declared == together
    assert alone == {"more", "public.invoice", "public.billing_note"}
    assert [(one["kind"], one["table"]) for one in together] == [
        ("table-missing", "more")
    ]


def test_a_superuser_says_who_owns_the_tables(
    server: postgres.Server,
    made: str,
    models: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The repair of an owner must not hand the tables to whoever looks."""
    dsn = server.conninfo("postgres", made)

    assert main(["drift", models, "--dsn", dsn]) == 1
    assert "'postgres' is a superuser" in capsys.readouterr().err
    assert main(["drift", models, "--dsn", dsn, "--owner", postgres.OWNER]) == 0
    assert main(["drift", models, "--dsn", dsn, "--owner", "somebody"]) == 1
    assert 'OWNER TO "somebody"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (":number", "no MetaData and no declarative base"),
        (":nowhere", "no MetaData and no declarative base"),
        ("_nowhere", "cannot be imported"),
    ],
)
def test_what_is_no_declaration_is_refused(
    models: str, dsn: str, place: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A place without a declaration is named before anything is connected."""
    assert main(["drift", f"{models}{place}", "--dsn", dsn]) == 1

    said = capsys.readouterr().err
    assert f"{models}{place}" in said
    assert reason in said


def test_a_server_that_refuses_is_explained(
    server: postgres.Server,
    made: str,
    models: str,
    dsn: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No connection, and a question that is refused, are errors without secrets."""
    nowhere = psycopg.conninfo.make_conninfo(dsn, dbname="no_such_database")
    assert main(["drift", models, "--dsn", nowhere]) == 1
    said = capsys.readouterr().err
    assert "No connection could be made" in said
    impatient = psycopg.conninfo.make_conninfo(
        dsn, options="-c statement_timeout=50ms -c lock_timeout=20ms"
    )
    with server.connect("postgres", made) as writer, writer.transaction():
        writer.execute("LOCK TABLE pg_catalog.pg_policy")
        assert main(["drift", models, "--dsn", impatient]) == 1
    said += capsys.readouterr().err
    assert "The server did not answer. It said: canceling statement" in said
    assert SECRET not in said
