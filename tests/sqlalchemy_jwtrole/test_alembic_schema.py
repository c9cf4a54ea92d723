"""Revisions install and change the schema ``jwtrole``, and let the login ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jwtrole import install
from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole.alembic import register
from sqlalchemy_jwtrole.create import execute
from tests import postgres
from tests.sqlalchemy_jwtrole import revisions
from tests.sqlalchemy_jwtrole.revisions import GRANT, OWN, Revision, make_note

if TYPE_CHECKING:
    from collections.abc import Iterator

empty = revisions.empty
owner = revisions.owner

MAY_ASK = sa.text(
    "SELECT has_function_privilege(:login, 'jwtrole.login(text)', 'EXECUTE')"
)
VERSION = sa.text("SELECT jwtrole.version()")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Have the login asked for, and nobody after these tests."""
    register(login=postgres.LOGIN)
    yield
    register()


@pytest.fixture
def metadata() -> sa.MetaData:
    """Return one protected table."""
    found = sa.MetaData()
    make_note(found, OWN, GRANT)
    return found


def put(owner: sa.Connection, version: int) -> None:
    """Install a version of the schema by hand."""
    execute(owner, install.release(version).up())
    owner.commit()


def verbs(code: str) -> list[str]:
    """Return what a piece of a revision calls on the schema itself, in order."""
    own = ("jwtrole(", "_login(")
    lines = (line.strip() for line in code.splitlines())
    return [line for line in lines if any(part in line for part in own)]


def test_the_schema_is_installed_and_the_login_let_in(
    owner: sa.Connection, metadata: sa.MetaData
) -> None:
    """A first revision installs the newest version, and the way back removes it."""
    revision = Revision(owner, metadata)
    newest = install.LATEST

    assert verbs(revision.up) == [
        f"op.install_jwtrole({newest})",
        f"op.grant_login('app_login', version={newest})",
    ]
    assert verbs(revision.down) == [
        f"op.revoke_login('app_login', version={newest})",
        f"op.uninstall_jwtrole({newest})",
    ]
    revision.upgrade()
    assert owner.scalar(MAY_ASK, {"login": postgres.LOGIN})
    assert not owner.scalar(MAY_ASK, {"login": postgres.TEST})
    assert Revision(owner, metadata).up == ""
    revision.downgrade()
    assert not owner.scalar(sa.text("SELECT to_regnamespace('jwtrole') IS NOT NULL"))


@pytest.mark.parametrize("installed", [1, 2])
def test_another_version_becomes_the_newest(
    owner: sa.Connection, metadata: sa.MetaData, installed: int
) -> None:
    """The other mode and an older version are changed, policies in place, and back."""
    put(owner, installed)
    register()
    Revision(owner, metadata).upgrade()
    execute(owner, install.change(install.LATEST, installed))
    owner.commit()
    register(login=[postgres.LOGIN, postgres.TEST])
    revision = Revision(owner, metadata)

    assert verbs(revision.up) == [
        f"op.change_jwtrole({installed}, {install.LATEST})",
        f"op.grant_login('app_login', version={install.LATEST})",
        f"op.grant_login('app_test', version={install.LATEST})",
    ]
    revision.upgrade()
    assert owner.scalar(VERSION) == install.LATEST
    assert owner.scalar(MAY_ASK, {"login": postgres.TEST})
    assert Revision(owner, metadata).up == ""
    revision.downgrade()
    assert owner.scalar(VERSION) == installed


def test_a_login_that_is_added_is_let_in(
    owner: sa.Connection, metadata: sa.MetaData
) -> None:
    """To a schema that is there only the right of the new login is added."""
    Revision(owner, metadata).upgrade()
    register(login=[postgres.LOGIN, postgres.TEST])
    revision = Revision(owner, metadata)

    assert verbs(revision.up) == [
        f"op.grant_login('app_test', version={install.LATEST})"
    ]
    assert ("grant_login", "app_test", {"version": install.LATEST}) in revision.diffs
    revision.upgrade()
    revision.downgrade()
    assert owner.scalar(MAY_ASK, {"login": postgres.LOGIN})
    assert not owner.scalar(MAY_ASK, {"login": postgres.TEST})


def test_the_application_mode_is_installed_by_name(
    owner: sa.Connection, metadata: sa.MetaData
) -> None:
    """It needs no right of the login's; an unknown mode is refused."""
    register(login=postgres.LOGIN, trust="application")
    revision = Revision(owner, metadata)

    assert verbs(revision.up) == ["op.install_jwtrole(1)"]
    revision.upgrade()
    assert Revision(owner, metadata).up == ""
    with pytest.raises(ConfigurationError, match="trust is one of"):
        register(trust="nobody")


def test_a_newer_schema_is_left_alone(
    owner: sa.Connection, metadata: sa.MetaData
) -> None:
    """A version that this release does not know yet serves it as well."""
    Revision(owner, metadata).upgrade()
    newer = (
        "CREATE OR REPLACE FUNCTION jwtrole.version() RETURNS integer "
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 999'"
    )
    execute(owner, [newer])
    owner.commit()

    assert Revision(owner, metadata).up == ""


def test_our_own_tables_are_nobodys_to_drop(
    owner: sa.Connection, metadata: sa.MetaData
) -> None:
    """With include_schemas the tables of the schema itself are found, and kept."""
    Revision(owner, metadata).upgrade()
    owner.execute(sa.text("CREATE SCHEMA mine"))
    owner.execute(sa.text("CREATE TABLE mine.left_over (id int)"))
    owner.commit()
    options: dict[str, Any] = {"include_schemas": True}

    assert Revision(owner, metadata, **options).verbs == ["drop_table"]


def test_a_login_that_is_missing_is_named(owner: sa.Connection) -> None:
    """Logins are the bootstrap's to make, and an operation says so."""
    revision = Revision(owner, sa.MetaData())
    with pytest.raises(ConfigurationError, match=r"'ghost' do not exist.*bootstrap"):
        revision.run("op.grant_login('ghost', version=3)")
    with pytest.raises(ConfigurationError, match="no version 99"):
        revision.run("op.change_jwtrole(3, 99)")
