"""The owner's way to its rows under FORCE."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole import elevated
from sqlalchemy_jwtrole.alembic import register
from tests.sqlalchemy_jwtrole import revisions
from tests.sqlalchemy_jwtrole.revisions import GRANT, OWN, Revision, make_note

if TYPE_CHECKING:
    from collections.abc import Iterator

register()

empty = revisions.empty
owner = revisions.owner

FORCED = sa.text("SELECT relforcerowsecurity FROM pg_class WHERE relname = 'note'")
ROWS = sa.text("SELECT count(*) FROM note")


@pytest.fixture
def note(owner: sa.Connection) -> Iterator[sa.Table]:
    """Return a protected table with two rows."""
    metadata = sa.MetaData()
    table = make_note(metadata, OWN, GRANT)
    Revision(owner, metadata).upgrade()
    with elevated(owner, table):
        owner.execute(table.insert(), [{"author": uuid.uuid4()} for _ in range(2)])
    owner.commit()
    return table


def seen(owner: sa.Connection) -> Any:
    """Return how many rows the owner sees by itself, and whether it is forced."""
    return owner.scalar(ROWS), owner.scalar(FORCED)


def test_the_owner_sees_every_row_inside_alone(
    owner: sa.Connection, note: sa.Table
) -> None:
    """By table and by name; before and after it sees none, as everybody."""
    assert seen(owner) == (0, True)
    for table in (note, "note"):
        with elevated(owner, table):
            assert seen(owner) == (2, False)
        assert seen(owner) == (0, True)


def test_a_block_that_fails_leaves_force_on(
    owner: sa.Connection, note: sa.Table
) -> None:
    """What raised inside is undone, and nobody is let past row security."""

    def fail() -> None:
        with elevated(owner, note):
            owner.execute(note.delete())
            msg = "stop"
            raise LookupError(msg)

    with pytest.raises(LookupError):
        fail()
    assert seen(owner) == (0, True)
    with elevated(owner, note):
        assert owner.scalar(ROWS) == 2


def test_deferred_constraints_are_checked_inside(
    owner: sa.Connection, note: sa.Table
) -> None:
    """A pending foreign key would hold the table: it is checked in the block."""
    owner.execute(
        sa.text(
            "CREATE TABLE child (of int REFERENCES note DEFERRABLE INITIALLY DEFERRED)"
        )
    )
    with elevated(owner, note):
        owner.execute(sa.text("INSERT INTO child SELECT id FROM note"))
        owner.execute(sa.text("UPDATE note SET id = id"))
    assert seen(owner) == (0, True)

    with pytest.raises(sa.exc.IntegrityError), elevated(owner, note):
        owner.execute(sa.text("INSERT INTO child VALUES (0)"))


def test_a_table_that_is_not_forced_is_left_alone(
    owner: sa.Connection, note: sa.Table
) -> None:
    """Nothing is switched on that was off, and a table that is missing is nothing."""
    owner.execute(sa.text("ALTER TABLE note NO FORCE ROW LEVEL SECURITY"))
    with elevated(owner, note, "no_such_table"):
        assert owner.scalar(ROWS) == 2

    assert seen(owner) == (2, False)


def test_offline_there_is_no_way_in() -> None:
    """Where Alembic only prints there is nobody to let in, and it is said."""
    nobody: Any = None
    with pytest.raises(ConfigurationError, match="none offline"):
        elevated(nobody, "note").__enter__()
