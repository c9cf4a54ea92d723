"""Autogenerate finds policies, row security and grants; revisions run both ways."""

from __future__ import annotations

import datetime as dt
import enum
import io
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import postgresql

from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole import Grant, Policy, claim
from sqlalchemy_jwtrole.alembic import register
from sqlalchemy_jwtrole.expressions import ClaimDefault
from tests import postgres
from tests.sqlalchemy_jwtrole import revisions
from tests.sqlalchemy_jwtrole.revisions import GRANT, OWN, Revision, make_note

if TYPE_CHECKING:
    from pathlib import Path

register()

empty = revisions.empty
owner = revisions.owner


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def test_everything_is_created_and_removed(owner: sa.Connection) -> None:
    """Schema first, protection after the tables; then nothing; and all the way back."""
    metadata = sa.MetaData()
    make_note(metadata, OWN, GRANT)
    revision = Revision(owner, metadata)

    assert revision.verbs == [
        "install_jwtrole", "create_table", "enable_row_security", "create_policy",
        "grant", "grant_sequence",
    ]  # fmt: skip
    revision.upgrade()
    assert _state(owner, "note") == (True, True, ["note_own"])
    assert Revision(owner, metadata).up == ""
    revision.downgrade()
    assert not sa.inspect(owner).has_table("note")
    assert not owner.scalar(sa.text("SELECT to_regnamespace('jwtrole') IS NOT NULL"))


def _state(conn: sa.Connection, table: str) -> tuple[bool, bool, list[str]]:
    flags = conn.execute(
        sa.text(
            "SELECT relrowsecurity, relforcerowsecurity, ARRAY(SELECT polname::text "
            "FROM pg_policy WHERE polrelid = c.oid ORDER BY 1) FROM pg_class c "
            "WHERE oid = to_regclass(:table)"
        ),
        {"table": table},
    ).one()
    conn.commit()
    return tuple(flags)  # type: ignore[return-value]


def _rich(metadata: sa.MetaData) -> sa.Table:
    """Declare policies with expressions of many kinds on two tables."""
    member = sa.Table(
        "a_member",
        metadata,
        sa.Column("tenant", sa.Uuid, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
    )
    inside = lambda t: sa.exists().where(  # noqa: E731
        member.c.tenant == t.tenant, member.c.subject == claim("sub")
    )
    to = ["member"]
    return sa.Table(
        "document",
        metadata,
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column(
            "tenant",
            sa.Uuid,
            server_default=sa.DefaultClause(ClaimDefault("tenant", sa.Uuid())),
        ),
        sa.Column("colour", sa.Enum(Colour, name="colour")),
        sa.Column("body", sa.Text, server_default="x"),
        sa.Column("tags", postgresql.ARRAY(sa.Text)),
        sa.Column("data", postgresql.JSONB),
        sa.Column("made", sa.DateTime(timezone=True)),
        Policy("p01", using=lambda t: t.tenant == claim("tenant", sa.Uuid), to=to),
        Policy("p02", using=inside, command="SELECT", to=["manager", "member"]),
        Policy("p03", using=lambda t: t.colour.in_([Colour.RED, Colour.BLUE]), to=to),
        Policy(
            "p04",
            using=lambda t: sa.or_(t.body.like("50%\\_%"), t.body == "it's: a 'q'"),
            to=["PUBLIC"],
        ),
        Policy("p05", check=lambda t: t.id.between(1, 9), command="INSERT", to=to),
        Policy("p06", using=lambda t: t.data["a"].astext == claim("sub"), to=to),
        Policy("p07", using=lambda t: t.data.contains({"k": ["v"]}), to=to),
        Policy("p08", using=lambda t: sa.any_(t.tags) == "x", to=to, permissive=False),
        Policy("p09", using=True, check=False, command="UPDATE", to=to),
        Policy(
            "p10",
            using=lambda t: t.made > sa.func.now() - sa.literal(dt.timedelta(days=1)),
            command="DELETE",
            to=to,
        ),
        Policy(
            "p11",
            using=lambda t: sa.case((t.body.is_(None), t.id > 3), else_=t.id % 2 == 0),
            to=to,
        ),
        Policy(
            "p12",
            using=lambda t: (
                t.id > sa.select(sa.func.count()).select_from(member).scalar_subquery()
            ),
            to=to,
        ),
        Policy("p13", using=lambda t: t.colour == Colour.RED, to=to),
    )


def test_any_expression_compares_stably(owner: sa.Connection) -> None:
    """Many kinds of expressions are created once and found unchanged afterwards."""
    metadata = sa.MetaData()
    _rich(metadata)
    revision = Revision(owner, metadata)
    revision.upgrade()

    assert revision.verbs.count("create_policy") == 13
    assert Revision(owner, metadata).up == ""
    owner.execute(sa.text("SELECT 1 FROM document"))
    revision.downgrade()
    owner.execute(sa.text("DROP TYPE colour"))
    assert not sa.inspect(owner).has_table("document")


def test_a_policy_that_cannot_work_is_no_revision(owner: sa.Connection) -> None:
    """Autogenerate stops at it, with policy, table and remedy."""
    metadata = sa.MetaData()
    wrong = Policy("own", using=lambda t: t.author == claim("sub"), to=["member"])
    sa.Table("page", metadata, sa.Column("author", sa.Uuid), wrong)

    with pytest.raises(ConfigurationError, match=r"'own' on 'page'.*'sub', Uuid"):
        Revision(owner, metadata)


def test_tables_in_a_schema_of_their_own(owner: sa.Connection) -> None:
    """Policies, grants and sequences of another schema compare as well."""
    owner.execute(sa.text("CREATE SCHEMA other"))
    owner.commit()
    metadata = sa.MetaData()
    member = sa.Table("member", metadata, sa.Column("note", sa.Integer), schema="other")
    listed = Policy(
        "listed",
        using=lambda t: sa.exists().where(member.c.note == t.id),
        to=["member"],
    )
    note = make_note(metadata, OWN, GRANT, listed, schema="other")
    revision = Revision(owner, metadata, include_schemas=True)
    revision.upgrade()

    assert "schema='other'" in revision.up
    assert _state(owner, "other.note") == (True, True, ["listed", "note_own"])
    assert Revision(owner, metadata, include_schemas=True).up == ""
    metadata.remove(note)
    revision = Revision(owner, metadata, include_schemas=True)
    revision.upgrade()
    revision.downgrade()
    assert _state(owner, "other.note") == (True, True, ["listed", "note_own"])


def test_a_changed_policy_is_dropped_and_created(owner: sa.Connection) -> None:
    """The old definition travels along, so that the way back restores it."""
    before, after = sa.MetaData(), sa.MetaData()
    make_note(before, OWN)
    make_note(after, Policy("note_own", using=lambda t: t.body == "x", to=["manager"]))
    Revision(owner, before).upgrade()
    revision = Revision(owner, after)

    assert revision.verbs == ["drop_policy", "create_policy"]
    revision.upgrade()
    assert Revision(owner, after).up == ""
    revision.downgrade()
    assert Revision(owner, before).up == ""


@pytest.mark.parametrize(
    "tampering",
    [
        "ALTER POLICY note_own ON note USING (true)",
        "ALTER POLICY note_own ON note TO manager",
        "ALTER POLICY note_own ON note WITH CHECK (true)",
    ],
)
def test_a_policy_changed_by_hand_is_found(
    owner: sa.Connection, tampering: str
) -> None:
    """What was loosened in the database, its comment unchanged, is put right."""
    metadata = sa.MetaData()
    make_note(metadata, OWN, GRANT)
    Revision(owner, metadata).upgrade()
    owner.execute(sa.text(tampering))
    owner.commit()
    revision = Revision(owner, metadata)

    assert revision.verbs == ["drop_policy", "create_policy"]
    revision.upgrade()
    assert Revision(owner, metadata).up == ""


def test_row_security_that_was_turned_off_is_repaired(owner: sa.Connection) -> None:
    """NO FORCE or DISABLE is put right; undoing a repair does not open the table."""
    metadata = sa.MetaData()
    make_note(metadata, OWN)
    Revision(owner, metadata).upgrade()
    owner.execute(sa.text("ALTER TABLE note NO FORCE ROW LEVEL SECURITY"))
    owner.commit()
    revision = Revision(owner, metadata)

    assert revision.verbs == ["enable_row_security"]
    revision.upgrade()
    revision.downgrade()
    assert _state(owner, "note") == (True, True, ["note_own"])


def test_policies_of_others_on_a_protected_table_are_dropped(
    owner: sa.Connection,
) -> None:
    """What opens a protected table without being declared goes, and may come back."""
    metadata = sa.MetaData()
    make_note(metadata, OWN)
    Revision(owner, metadata).upgrade()
    for policy in (
        "backdoor ON note USING (true)",
        "empty ON note",
        "nothing ON note AS RESTRICTIVE FOR INSERT",
    ):
        owner.execute(sa.text(f"CREATE POLICY {policy}"))
    owner.commit()
    revision = Revision(owner, metadata)

    assert revision.verbs == ["drop_policy"] * 3
    revision.upgrade()
    assert _state(owner, "note") == (True, True, ["note_own"])
    revision.downgrade()
    names = ["backdoor", "empty", "note_own", "nothing"]
    assert _state(owner, "note") == (True, True, names)


def test_a_table_that_is_no_longer_protected(owner: sa.Connection) -> None:
    """Our policies and grants go with their declarations, others' stay."""
    before, after = sa.MetaData(), sa.MetaData()
    make_note(before, OWN, GRANT)
    make_note(after)
    sa.Table("other", before, sa.Column("id", sa.Uuid), GRANT_SELECT)
    sa.Table("other", after, sa.Column("id", sa.Uuid), GRANT_SELECT)
    Revision(owner, before).upgrade()
    owner.execute(sa.text("GRANT SELECT ON note TO manager"))
    owner.execute(sa.text("CREATE POLICY theirs ON other USING (true)"))
    owner.commit()
    revision = Revision(owner, after)

    assert revision.verbs == [
        "drop_policy", "disable_row_security", "revoke", "revoke_sequence",
    ]  # fmt: skip
    revision.upgrade()
    assert _state(owner, "note") == (False, False, [])
    assert _state(owner, "other") == (False, False, ["theirs"])
    assert owner.scalar(
        sa.text("SELECT has_table_privilege('manager', 'note', 'select')")
    )
    assert Revision(owner, after).up == ""
    revision.downgrade()
    assert Revision(owner, before).up == ""


GRANT_SELECT = Grant("member", "SELECT")


def test_grants_follow_their_declaration(owner: sa.Connection) -> None:
    """Privileges are granted and revoked one by one, columns included."""
    first, second = sa.MetaData(), sa.MetaData()
    make_note(
        first, OWN, Grant("member", "SELECT", "UPDATE"), Grant("PUBLIC", "SELECT(id)")
    )
    make_note(
        second,
        OWN,
        Grant("member", "SELECT(id, body)", "UPDATE(body)", "DELETE"),
        Grant("PUBLIC", "SELECT(id)"),
    )
    Revision(owner, first).upgrade()
    revision = Revision(owner, second)

    assert revision.verbs == ["revoke", "grant"]
    assert "on=['DELETE', 'SELECT(body, id)', 'UPDATE(body)']" in revision.up
    revision.upgrade()
    assert Revision(owner, second).up == ""
    revision.downgrade()
    assert Revision(owner, first).up == ""


def test_a_swept_column_privilege_is_granted_again(owner: sa.Connection) -> None:
    """Revoking on the table takes columns along, so theirs is granted once more."""
    metadata = sa.MetaData()
    make_note(metadata, OWN, Grant("member", "UPDATE(body)"))
    Revision(owner, metadata).upgrade()
    owner.execute(sa.text("GRANT UPDATE ON note TO member"))
    owner.commit()
    revision = Revision(owner, metadata)

    assert revision.verbs == ["revoke", "grant"]
    revision.upgrade()
    assert Revision(owner, metadata).up == ""


def test_a_dropped_table_comes_back_protected(owner: sa.Connection) -> None:
    """Policies and grants vanish with their table; the downgrade makes them again."""
    metadata = sa.MetaData()
    note = make_note(metadata, OWN, GRANT)
    sa.Table(
        "reader",
        metadata,
        sa.Column("id", sa.Uuid),
        Policy(
            "reads_note",
            using=lambda t: sa.exists().where(note.c.author == t.id),
            to=["member"],
        ),
    )
    Revision(owner, metadata).upgrade()
    gone = sa.MetaData()
    sa.Table("reader", gone, sa.Column("id", sa.Uuid), OTHER)
    owner.execute(sa.text("CREATE TABLE unprotected (id integer)"))
    owner.commit()
    revision = Revision(owner, gone)
    revision.upgrade()

    assert revision.verbs.index("drop_policy") < revision.verbs.index("drop_table")
    assert not sa.inspect(owner).has_table("note")
    assert Revision(owner, gone).up == ""
    revision.downgrade()
    owner.execute(sa.text("DROP TABLE unprotected"))
    owner.commit()
    assert Revision(owner, metadata).up == ""


OTHER = Policy("other", using=lambda t: t.id == claim("sub", sa.Uuid), to=["member"])


def test_columns_come_go_and_change_under_policies(owner: sa.Connection) -> None:
    """New columns, dropped ones and changed types pass in one revision, both ways."""
    before, after = sa.MetaData(), sa.MetaData()
    sa.Table(
        "thing",
        before,
        sa.Column("id", sa.Uuid),
        sa.Column("kind", sa.String(5)),
        sa.Column("old", sa.Uuid),
        OTHER,
        Policy("kinds", using=lambda t: t.kind == "x", to=["member"]),
        Policy("olds", using=lambda t: t.old == t.id, to=["member"]),
    )
    sa.Table(
        "thing",
        after,
        sa.Column("id", sa.Uuid),
        sa.Column("kind", sa.String(9)),
        sa.Column("new", sa.Uuid),
        OTHER,
        Policy("kinds", using=lambda t: t.kind == "x", to=["member"]),
        Policy("news", using=lambda t: t.new == t.id, to=["member"]),
    )
    Revision(owner, before).upgrade()
    revision = Revision(owner, after)
    revision.upgrade()

    assert Revision(owner, after).up == ""
    revision.downgrade()
    assert Revision(owner, before).up == ""


def test_what_cannot_be_tried_out_is_judged_by_its_hash(
    owner: sa.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Where PostgreSQL cannot spell a policy the hash decides, and it is said so."""
    before, after = sa.MetaData(), sa.MetaData()
    for metadata, extra in ((before, ()), (after, (sa.Column("c", sa.Enum(Colour)),))):
        make_note(metadata, OWN, CHANGED[metadata is after], *extra)
    Revision(owner, before).upgrade()
    revision = Revision(owner, after)

    assert revision.verbs == ["drop_policy", "add_column", "create_policy"]
    assert "note_own" in caplog.text
    assert "unchanged" in caplog.text
    assert "created anew" in caplog.text


CHANGED = {
    False: Policy("changed", using=lambda t: t.body == "x", to=["member"]),
    True: Policy("changed", using=lambda t: t.body == "y", to=["member"]),
}


def test_one_policy_that_cannot_be_tried_out_leaves_the_others(
    owner: sa.Connection,
) -> None:
    """A policy that reads a table yet to come does not keep others from comparing."""
    before, after = sa.MetaData(), sa.MetaData()
    make_note(before, OWN, CHANGED[False])
    late = sa.Table("late", after, sa.Column("id", sa.Uuid))
    reads = Policy(
        "changed",
        using=lambda t: sa.exists().where(late.c.id == t.author),
        to=["member"],
    )
    make_note(after, OWN, reads)
    Revision(owner, before).upgrade()
    revision = Revision(owner, after)

    assert revision.verbs == ["drop_policy", "create_table", "create_policy"]
    revision.upgrade()
    assert Revision(owner, after).up == ""


def test_without_temporary_tables_the_hashes_decide(
    owner: sa.Connection,
    server: postgres.Server,
    empty: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An owner who does not own the database compares, and is told what it lacks."""
    metadata, after = sa.MetaData(), sa.MetaData()
    make_note(metadata, OWN, GRANT)
    make_note(after, OWN, GRANT, CHANGED[True])
    Revision(owner, metadata).upgrade()
    assert "TEMPORARY" not in caplog.text
    right = f'TEMPORARY ON DATABASE "{empty}"'
    with server.connect("postgres", empty) as admin:
        admin.execute(f'ALTER DATABASE "{empty}" OWNER TO postgres'.encode())
        admin.execute(f"REVOKE {right} FROM PUBLIC".encode())

    assert Revision(owner, metadata).up == ""
    assert Revision(owner, after).verbs == ["create_policy"]
    repair = f'GRANT {right} TO "{postgres.OWNER}"'
    assert repair in caplog.text

    owner.rollback()
    with server.connect("postgres", empty) as admin:
        admin.execute(repair.encode())
    caplog.clear()
    owner.execute(sa.text("ALTER POLICY note_own ON note USING (true)"))
    assert Revision(owner, metadata).verbs == ["drop_policy", "create_policy"]
    assert caplog.text == ""


def test_a_locked_table_is_compared(
    owner: sa.Connection, server: postgres.Server, empty: str
) -> None:
    """Comparing takes no lock that a writer holds up."""
    metadata = sa.MetaData()
    make_note(metadata, OWN)
    Revision(owner, metadata).upgrade()
    with server.connect(postgres.OWNER, empty) as writer, writer.transaction():
        writer.execute("LOCK TABLE note IN SHARE ROW EXCLUSIVE MODE")
        owner.execute(sa.text("SET lock_timeout = '2s'"))
        assert Revision(owner, metadata).up == ""


def test_a_claim_as_default_is_compared_by_its_text(owner: sa.Connection) -> None:
    """Another claim, no claim and the same claim are told apart without evaluating."""

    def metadata(claim_name: str | None) -> sa.MetaData:
        made = sa.MetaData()
        default = claim_name and sa.DefaultClause(ClaimDefault(claim_name, sa.Uuid()))
        sa.Table("t", made, sa.Column("id", sa.Uuid, server_default=default), OTHER)
        return made

    Revision(owner, metadata(None)).upgrade()
    for name in ("tenant_id", "org"):
        revision = Revision(owner, metadata(name))
        assert revision.verbs == ["alter_column"]
        revision.upgrade()
        assert Revision(owner, metadata(name)).up == ""


def test_objects_that_are_left_out_stay_left_out(owner: sa.Connection) -> None:
    """A table that ``include_object`` refuses gets no protection in the revision."""
    metadata = sa.MetaData()
    make_note(metadata, OWN)

    def include(_object: Any, name: str, kind: str, *_: Any) -> bool:
        return not (kind == "table" and name == "note")

    assert Revision(owner, metadata, include_object=include).up == ""


def test_missing_roles_name_the_bootstrap(owner: sa.Connection) -> None:
    """An operation that needs a missing role says what to run, and sends nothing."""
    revision = Revision(owner, sa.MetaData())
    owner.execute(sa.text("CREATE TABLE t (id uuid)"))
    with pytest.raises(ConfigurationError, match=r"'ghost' do not exist.*bootstrap"):
        revision.run("op.grant('t', 'ghost', on=['SELECT'])")
    with pytest.raises(ConfigurationError, match="jwtrole bootstrap"):
        revision.run("op.create_policy('t', name='p', using='true', to=['ghost'])")
    with pytest.raises(ConfigurationError, match="no version 99"):
        revision.run("op.install_jwtrole(99)")


def test_operations_written_by_hand(owner: sa.Connection) -> None:
    """Each operation can be called as documented, and undone by its opposite."""
    revision = Revision(owner, sa.MetaData())
    revision.run(
        """
        op.install_jwtrole(1)
        op.create_table("t", sa.Column("id", sa.Integer, primary_key=True))
        op.enable_row_security("t", schema="public")
        op.create_policy("t", name="100% : p", check="id % 2 = 0 OR ':x' = '%s'",
                         command="INSERT", to=["PUBLIC"], permissive=False)
        op.grant("t", "PUBLIC", on=["SELECT(id)", "DELETE"])
        op.grant_sequence("t", "PUBLIC", column="id")
        """
    )
    assert _state(owner, "t") == (True, True, ["100% : p"])
    revision.run(
        """
        op.revoke_sequence("t", "PUBLIC", column="id")
        op.revoke("t", "PUBLIC", on=["SELECT(id)", "DELETE"])
        op.drop_policy("t", name="100% : p", check="false", command="INSERT",
                       to=["PUBLIC"])
        op.disable_row_security("t")
        op.drop_table("t")
        op.uninstall_jwtrole(1)
        """
    )


ENV = """
from alembic import context
from sqlalchemy import create_engine
from sqlalchemy_jwtrole.alembic import register

register()
options = context.config.attributes
if context.is_offline_mode():
    context.configure(url=options["url"], target_metadata=options["metadata"],
                      literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(options["url"])
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=options["metadata"])
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()
"""


@pytest.fixture
def config(tmp_path: Path, server: postgres.Server, empty: str) -> Config:
    """Return a project's Alembic configuration, its ``env.py`` as documented."""
    ini = tmp_path / "alembic.ini"
    config = Config(ini, output_buffer=io.StringIO(), stdout=io.StringIO())
    command.init(config, str(tmp_path / "migrations"))
    (tmp_path / "migrations" / "env.py").write_text(ENV)
    config = Config(ini, output_buffer=io.StringIO(), stdout=io.StringIO())
    config.attributes["url"] = server.url("psycopg", postgres.OWNER, empty)
    return config


def test_the_commands_work(config: Config, owner: sa.Connection) -> None:
    """Every command and ``--sql`` work with two lines in env.py."""
    metadata = sa.MetaData()
    make_note(metadata, OWN, GRANT)
    config.attributes["metadata"] = metadata
    command.revision(config, "protect", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)

    assert _state(owner, "note") == (True, True, ["note_own"])
    command.upgrade(config, "head", sql=True)
    command.downgrade(config, "head:base", sql=True)
    assert isinstance(config.output_buffer, io.StringIO)
    script = config.output_buffer.getvalue()
    assert 'CREATE POLICY "note_own" ON "note"' in script
    assert "CREATE SCHEMA jwtrole AUTHORIZATION jwtrole_owner;" in script
    assert "DROP SCHEMA jwtrole;" in script
    command.downgrade(config, "base")
    assert not sa.inspect(owner).has_table("note")


def test_the_script_runs_as_it_is(
    config: Config, owner: sa.Connection, server: postgres.Server, empty: str
) -> None:
    """What ``--sql`` prints can be sent as one script."""
    metadata = sa.MetaData()
    make_note(metadata, OWN, GRANT)
    config.attributes["metadata"] = metadata
    command.revision(config, "protect", autogenerate=True)
    command.upgrade(config, "head", sql=True)
    assert isinstance(config.output_buffer, io.StringIO)
    with server.connect(postgres.OWNER, empty) as conn:
        conn.execute("DROP TABLE alembic_version")
        conn.execute(config.output_buffer.getvalue())  # type: ignore[arg-type]

    assert _state(owner, "note") == (True, True, ["note_own"])
    command.check(config)
