from __future__ import annotations

import contextlib
import importlib
import runpy
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from jwtrole import install
from jwtrole.cli import main
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TAG = uuid.uuid4().hex[:8]
OWNER, LOGIN, TEST = f"cli_owner_{TAG}", f"cli_login_{TAG}", f"cli_test_{TAG}"
FIXED = (f"cli_member_{TAG}", f'cli it\'s "odd" {TAG}', f"cli_anon_{TAG}")
BOOTSTRAP = (
    "bootstrap", "--owner", OWNER, "--login", LOGIN, "--test", TEST,
    "--role", FIXED[0], "--role", FIXED[1], "--anonymous", FIXED[2],
)  # fmt: skip


def made(admin: psycopg.Connection) -> set[str]:
    """Return which of the roles of these tests there are."""
    names = [OWNER, LOGIN, TEST, *FIXED]
    rows = admin.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (names,)
    )
    return {name for (name,) in rows}


@pytest.fixture
def admin(admin: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Return a superuser's connection; the roles of these tests are dropped after."""
    yield admin
    for name in made(admin):
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def empty(server: postgres.Server, worker: str) -> Iterator[psycopg.Connection]:
    """Return the owner's connection to a database without the schema."""
    name = f"cli_{worker}"
    server.create_database(name, schema=False)
    with contextlib.closing(server.connect(postgres.OWNER, name)) as connection:
        yield connection
    server.drop_database(name)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "jwtrole", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def without(words: Sequence[str], *options: str) -> list[str]:
    """Return the words without some options and their values."""
    found = list(words)
    for option in options:
        at = found.index(option)
        del found[at : at + 2]
    return found


def test_bootstrap_prints_and_changes_nothing(
    admin: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --apply the statements are shown and no role is made."""
    assert main(BOOTSTRAP) == 0

    printed = capsys.readouterr()
    assert all(name in printed.out for name in (OWNER, LOGIN, TEST, FIXED[0]))
    assert printed.err == ""
    assert made(admin) == set()


def test_what_bootstrap_prints_runs(
    admin: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed text is a script that makes the roles, given to the server whole."""
    main(BOOTSTRAP)

    admin.execute(capsys.readouterr().out.encode())

    assert made(admin) == {OWNER, LOGIN, TEST, *FIXED}


def test_bootstrap_applies_and_may_be_repeated(
    server: postgres.Server,
    admin: psycopg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --apply the roles are there after the first run and after the second."""
    for _ in range(2):
        assert main([*BOOTSTRAP, "--apply", "--dsn", server.dsn]) == 0
        assert made(admin) == {OWNER, LOGIN, TEST, *FIXED}

    assert capsys.readouterr() == ("", "")


def test_bootstrap_without_test_and_anonymous(
    server: postgres.Server, admin: psycopg.Connection
) -> None:
    """The two optional roles are made only where they are named."""
    words = without(BOOTSTRAP, "--test", "--anonymous")

    assert main([*words, "--apply", "--dsn", server.dsn]) == 0

    assert made(admin) == {OWNER, LOGIN, FIXED[0], FIXED[1]}


def test_warnings_of_the_server_are_shown(
    server: postgres.Server,
    admin: psycopg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What whoever applies cannot set is said on standard error, with the remedy."""
    creator = f"cli_creator_{TAG}"
    admin.execute(f"CREATE ROLE {creator} LOGIN CREATEROLE".encode())
    grant = f"GRANT {install.OWNER_ROLE} TO {creator} WITH ADMIN OPTION"
    admin.execute(grant.encode())
    dsn = server.conninfo(creator, admin.info.dbname)
    words = without(BOOTSTRAP, "--test")

    status = main([*words, "--apply", "--dsn", dsn])

    printed = capsys.readouterr()
    for name in (*made(admin), creator):
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
    assert status == 0, printed.err
    assert printed.err.startswith(f"jwtrole: log_parameter_max_length of {LOGIN}")
    assert f'ALTER ROLE "{LOGIN}" SET log_parameter_max_length = 0' in printed.err
    assert "already" not in printed.err


def test_what_the_server_refuses_is_said_and_undone(
    server: postgres.Server,
    admin: psycopg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A refusal is a message and exit status 1; nothing of the script was applied."""
    dsn = server.conninfo(postgres.LOGIN, admin.info.dbname) + " password=hunter2"

    assert main([*BOOTSTRAP, "--apply", "--dsn", dsn]) == 1

    printed = capsys.readouterr()
    assert "Nothing was applied, the server said: permission denied" in printed.err
    assert "hunter2" not in printed.err
    assert str(server.address[0]) not in printed.err
    assert made(admin) == set()


def test_a_script_that_fails_in_the_middle_leaves_nothing(
    server: postgres.Server,
    admin: psycopg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Roles made before a refused statement are not there afterwards."""
    odd = sql.Identifier(FIXED[1])
    admin.execute(sql.SQL("CREATE ROLE {} BYPASSRLS").format(odd))

    assert main([*BOOTSTRAP, "--apply", "--dsn", server.dsn]) == 1

    assert "take that away or choose another name" in capsys.readouterr().err
    assert made(admin) == {FIXED[1]}


@pytest.mark.parametrize(
    "dsn",
    [
        "host=127.0.0.1 port=1 user=someone password=hunter2",
        "postgresql://someone:hunter2@127.0.0.1:1/shop",
        "hunter2 and nonsense",
        "postgresql://someone:hunter2@[::1",
    ],
)
def test_no_connection_is_said_without_the_dsn(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that is not there, or a broken DSN, shows nothing of the DSN."""
    assert main([*BOOTSTRAP, "--apply", "--dsn", dsn]) == 1

    printed = capsys.readouterr()
    assert "No connection could be made, so nothing was applied" in printed.err
    for secret in ("hunter2", "someone", "127.0.0.1", "nonsense"):
        assert secret not in printed.err + printed.out


def test_apply_needs_a_dsn(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a DSN nothing is guessed from the environment."""
    assert main([*BOOTSTRAP, "--apply"]) == 1

    assert capsys.readouterr().err == (
        "jwtrole: --apply needs --dsn: say where, or leave both out to print.\n"
    )


def test_apply_needs_a_driver(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where psycopg is missing printing works and applying says what to install."""
    monkeypatch.delitem(sys.modules, "jwtrole.drivers.script", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)

    assert main(BOOTSTRAP) == 0
    assert main([*BOOTSTRAP, "--apply", "--dsn", "host=nowhere"]) == 1

    assert 'python -m pip install "jwtrole[psycopg]"' in capsys.readouterr().err


@pytest.mark.parametrize("name", ["none", "pg_monitor", "r" * 64, ""])
def test_a_bad_name_is_said(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that cannot be a role is a message and exit status 1, no traceback."""
    words = without(BOOTSTRAP, "--owner")

    assert main([*words, "--owner", name]) == 1

    printed = capsys.readouterr()
    assert printed.err.startswith("jwtrole: ")
    assert repr(name) in printed.err
    assert printed.out == ""


def test_sql_installs_and_removes(
    empty: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed text, run whole by the owner, installs; with --down it removes."""
    query = install.installed_version_sql().encode()
    for options, expected in (([], True), (["--down"], False), ([], True)):
        assert main(["sql", *options]) == 0

        empty.execute(capsys.readouterr().out.encode())

        assert empty.execute(query).fetchone() == (expected,)
    assert empty.execute("SELECT jwtrole.version()").fetchone() == (install.LATEST,)


def test_sql_is_one_transaction(
    empty: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second installation fails and leaves the first as it was."""
    main(["sql"])
    printed = capsys.readouterr().out
    empty.execute(printed.encode())

    with pytest.raises(psycopg.errors.DuplicateSchema):
        empty.execute(printed.encode())
    empty.execute("ROLLBACK")

    assert printed.startswith("BEGIN;\n")
    assert printed.endswith("COMMIT;\n")
    assert empty.execute("SELECT jwtrole.version()").fetchone() == (install.LATEST,)


@pytest.mark.parametrize("words", [[], ["unknown"], ["bootstrap"], ["sql", "--x"]])
def test_misuse_is_explained(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Words that make no command end with the usage and exit status 2."""
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 2
    assert "usage: jwtrole" in capsys.readouterr().err


def test_the_module_runs_as_a_program() -> None:
    """``python -m jwtrole`` prints the script, and a bad name ends it with 1."""
    good, bad = run("sql"), run(*without(BOOTSTRAP, "--owner"), "--owner", "none")

    assert (good.returncode, good.stderr) == (0, "")
    assert "CREATE SCHEMA jwtrole" in good.stdout
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.startswith("jwtrole: 'none' is reserved")
    assert run("--help").stdout.startswith("usage: jwtrole")


def test_the_process_s_own_words_are_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run as a program the words come from the process; imported nothing happens."""
    importlib.import_module("jwtrole.__main__")
    assert capsys.readouterr().out == ""
    monkeypatch.delitem(sys.modules, "jwtrole.__main__")
    monkeypatch.setattr(sys, "argv", ["jwtrole", "sql", "--down"])

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("jwtrole", run_name="__main__")

    assert ended.value.code == 0
    assert "DROP SCHEMA jwtrole" in capsys.readouterr().out


CONFIGURATION = """
from jwtrole import Issuer, JWTRole

auth = JWTRole(
    [Issuer("https://id.test/", audience="a", secret="s" * 32, algorithms=["HS256"])],
    roles=["member"],
    trust="database",
)
nothing = None
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand in a directory with a configuration in a module."""
    (tmp_path / "cli_configured.py").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("cli_configured", None)


@pytest.mark.parametrize("place", ["cli_configured", "cli_configured:auth"])
def test_issuers_are_synced(
    empty: psycopg.Connection, configured: None, place: str
) -> None:
    """What a configuration trusts is pushed, and told twice nothing changes."""
    for statement in install.latest("database").up():
        empty.execute(statement.encode())
    dsn = empty.info.dsn
    kept = "SELECT name, generation FROM jwtrole.issuer"

    assert main(["issuers", "sync", place, "--dsn", dsn]) == 0
    before = empty.execute(kept).fetchall()
    assert main(["issuers", "sync", place, "--dsn", dsn]) == 0

    assert [name for name, _ in before] == ["https://id.test/"]
    assert empty.execute(kept).fetchall() == before


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("cli_configured:nothing", "is no JWTRole"),
        ("cli_configured:missing", "is no JWTRole"),
        ("no_such_module:auth", "cannot be imported"),
        (":auth", "cannot be imported"),
    ],
)
def test_what_is_no_configuration_is_named(
    configured: None, capsys: pytest.CaptureFixture[str], place: str, reason: str
) -> None:
    """A configuration that is not there ends the command with a message."""
    assert main(["issuers", "sync", place, "--dsn", "host=/nowhere"]) == 1
    assert reason in capsys.readouterr().err
