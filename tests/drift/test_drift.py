"""Every difference is found in both ORMs, and gone once it is repaired as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from jwtrole.difference import Kind, as_text

if TYPE_CHECKING:
    import psycopg

    from jwtrole.difference import Difference
    from tests.drift.worlds import World


class Damage(NamedTuple):
    """Be what somebody does by hand, and what is to be found then."""

    done: str
    kind: Kind
    table: str
    object: str


#: Whatever the column was, it has a sequence now that nobody may draw from.
SERIAL = """
SET ROLE app_owner;
ALTER TABLE billing_note ALTER id DROP IDENTITY IF EXISTS;
ALTER TABLE billing_note ALTER id DROP DEFAULT;
DROP SEQUENCE IF EXISTS billing_note_id_seq;
CREATE SEQUENCE billing_note_id_seq OWNED BY billing_note.id;
ALTER TABLE billing_note ALTER id SET DEFAULT nextval('billing_note_id_seq');
RESET ROLE
"""

#: The same policy with the same recorded hash, but for what is put in.
ANEW = """
DO $$ DECLARE note text = (SELECT obj_description(oid, 'pg_policy') FROM pg_policy
                           WHERE polname = 'billing_invoice_tenant');
BEGIN
    DROP POLICY billing_invoice_tenant ON invoice;
    CREATE POLICY billing_invoice_tenant ON invoice AS {mode} FOR {command}
        TO member, manager
        USING (tenant_id = (SELECT jwtrole.claim('tenant_id')::uuid));
    EXECUTE format('COMMENT ON POLICY billing_invoice_tenant ON invoice IS %L', note);
END $$
"""

TENANT = "billing_invoice_tenant"
DAMAGES = {
    "a permissive policy": Damage(
        "CREATE POLICY open ON invoice FOR SELECT TO manager USING (number <> 'x')",
        Kind.PERMISSIVE_POLICY_UNDECLARED, "invoice", "open",
    ),
    "a policy without a clause": Damage(
        "CREATE POLICY idle ON invoice",
        Kind.PERMISSIVE_POLICY_UNDECLARED, "invoice", "idle",
    ),
    "a restrictive policy": Damage(
        'CREATE POLICY "to""o" ON invoice AS RESTRICTIVE FOR INSERT WITH CHECK (false)',
        Kind.RESTRICTIVE_POLICY_UNDECLARED, "invoice", 'to"o',
    ),
    "an open clause": Damage(
        f"ALTER POLICY {TENANT} ON invoice USING (true)",
        Kind.POLICY_CHANGED, "invoice", TENANT,
    ),
    "another claim": Damage(
        f"ALTER POLICY {TENANT} ON invoice "
        "USING (tenant_id = (SELECT jwtrole.claim('org')::uuid))",
        Kind.POLICY_CHANGED, "invoice", TENANT,
    ),
    "another check": Damage(
        "ALTER POLICY note_own ON billing_note WITH CHECK (true)",
        Kind.POLICY_CHANGED, "billing_note", "note_own",
    ),
    "other roles": Damage(
        "ALTER POLICY note_own ON billing_note TO member, manager",
        Kind.POLICY_CHANGED, "billing_note", "note_own",
    ),
    "another command": Damage(
        ANEW.format(mode="PERMISSIVE", command="SELECT"),
        Kind.POLICY_CHANGED, "invoice", TENANT,
    ),
    "another mode": Damage(
        ANEW.format(mode="RESTRICTIVE", command="ALL"),
        Kind.POLICY_CHANGED, "invoice", TENANT,
    ),
    "no policy": Damage(
        f"DROP POLICY {TENANT} ON invoice",
        Kind.PERMISSIVE_POLICY_MISSING, "invoice", TENANT,
    ),
    "no row security": Damage(
        "ALTER TABLE invoice DISABLE ROW LEVEL SECURITY",
        Kind.ROW_SECURITY_OFF, "invoice", "",
    ),
    "an owner past row security": Damage(
        "ALTER TABLE invoice NO FORCE ROW LEVEL SECURITY",
        Kind.ROW_SECURITY_NOT_FORCED, "invoice", "",
    ),
    "the login as owner": Damage(
        "ALTER TABLE billing_note OWNER TO app_login",
        Kind.OWNER, "billing_note", "app_login",
    ),
    "a privilege on the table": Damage(
        "GRANT DELETE ON billing_note TO member",
        Kind.GRANT_SURPLUS, "billing_note", "member",
    ),
    "a column's privilege on the whole table": Damage(
        "GRANT UPDATE ON billing_note TO member",
        Kind.GRANT_SURPLUS, "billing_note", "member",
    ),
    "a privilege on a column": Damage(
        "GRANT UPDATE (pinned), INSERT (pinned) ON billing_note TO member",
        Kind.GRANT_SURPLUS, "billing_note", "member",
    ),
    "a privilege of a fixed role that the table does not name": Damage(
        "GRANT SELECT ON billing_note TO manager",
        Kind.GRANT_SURPLUS, "billing_note", "manager",
    ),
    "privileges past row security": Damage(
        "GRANT TRUNCATE, REFERENCES (id), TRIGGER ON invoice TO member",
        Kind.GRANT_SURPLUS, "invoice", "member",
    ),
    "a privilege of everybody": Damage(
        "GRANT SELECT ON invoice TO PUBLIC", Kind.GRANT_SURPLUS, "invoice", "PUBLIC"
    ),
    "no privilege on the table": Damage(
        "REVOKE SELECT, DELETE ON invoice FROM manager",
        Kind.GRANT_MISSING, "invoice", "manager",
    ),
    "no privilege on the column": Damage(
        "REVOKE UPDATE (text_body) ON billing_note FROM member",
        Kind.GRANT_MISSING, "billing_note", "member",
    ),
    "a sequence for another role": Damage(
        "GRANT USAGE ON SEQUENCE billing_note_id_seq TO manager",
        Kind.SEQUENCE_GRANT_SURPLUS, "billing_note", "manager",
    ),
    "a sequence for nobody": Damage(
        SERIAL, Kind.SEQUENCE_GRANT_MISSING, "billing_note", "member"
    ),
    "a policy left behind": Damage(
        "CREATE TABLE billing_gone (); CREATE POLICY old ON billing_gone USING (true); "
        "CREATE POLICY theirs ON billing_gone; "
        "COMMENT ON POLICY old ON billing_gone IS 'jwtrole:1:0123456789abcdef'",
        Kind.PERMISSIVE_POLICY_UNDECLARED, "public.billing_gone", "old",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_a_difference_is_found_and_repaired(
    world: World, admin: psycopg.Connection, what: str
) -> None:
    """What is done by hand is the one thing found; its repair leaves none."""
    damage = DAMAGES[what]
    admin.execute(damage.done.encode())

    found = world.find()

    assert [(one.kind, one.table, one.object) for one in found] == [damage[1:]]
    said = str(found[0])
    assert [line for line in found[0].repair.splitlines() if line not in said] == []
    _repair(admin, found)
    assert world.find() == []


def _repair(admin: psycopg.Connection, found: list[Difference]) -> None:
    for one in found:
        admin.execute(one.repair.encode())


def test_a_policy_shows_both_of_its_texts(
    world: World, admin: psycopg.Connection
) -> None:
    """What was declared and what is there are told as PostgreSQL spells them."""
    admin.execute(DAMAGES["an open clause"].done.encode())

    [found] = world.find()

    head = 'AS PERMISSIVE FOR ALL TO "manager", "member" USING '
    ordered = 'AS PERMISSIVE FOR ALL TO "member", "manager" USING '
    assert found.there == f"{head}(true)"
    assert found.declared.startswith(f"{ordered}((tenant_id = ( SELECT ")


def test_everything_at_once_is_named_the_worst_first(
    world: World, admin: psycopg.Connection
) -> None:
    """No difference hides another, and all repairs together leave none."""
    kinds = [
        Kind.GRANT_MISSING,
        Kind.ROW_SECURITY_OFF,
        Kind.PERMISSIVE_POLICY_UNDECLARED,
        Kind.OWNER,
    ]
    for kind in kinds:
        done = next(one.done for one in DAMAGES.values() if one.kind is kind)
        admin.execute(done.encode())

    found = world.find()

    assert [one.kind for one in found] == sorted(kinds, key=list(Kind).index)
    assert found[0].kind is Kind.PERMISSIVE_POLICY_UNDECLARED
    assert "the worst there is" in as_text(found).splitlines()[0]
    _repair(admin, found)
    assert world.find() == []


def test_a_missing_table_names_the_command(
    world: World, admin: psycopg.Connection
) -> None:
    """Of a table that is gone nothing else is said; what it became is not ours."""
    admin.execute("ALTER TABLE billing_note RENAME TO billing_other")

    left, missing = world.find()

    assert (missing.kind, missing.table) == (Kind.TABLE_MISSING, "billing_note")
    assert missing.repair in {"alembic upgrade head", "python manage.py migrate"}
    assert (left.table, left.object) == ("public.billing_other", "note_own")


NOT_OURS = {
    "another role": (
        "GRANT ALL ON invoice TO pg_monitor; "
        "GRANT SELECT (id) ON invoice TO pg_signal_backend; "
        "GRANT USAGE ON SEQUENCE billing_note_id_seq TO pg_monitor"
    ),
    "another table": (
        "CREATE TABLE theirs (); ALTER TABLE theirs ENABLE ROW LEVEL SECURITY; "
        "CREATE POLICY theirs ON theirs USING (true); GRANT ALL ON theirs TO member"
    ),
    "an altered policy that is what it was": (
        f"ALTER POLICY {TENANT} ON invoice USING (tenant_id = "
        "(SELECT jwtrole.claim('tenant_id')::uuid)); "
        f"COMMENT ON POLICY {TENANT} ON invoice IS 'of another release'"
    ),
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_what_others_did_is_left_alone(
    world: World, admin: psycopg.Connection, what: str
) -> None:
    """Grants of other roles, other tables and other spellings are no differences."""
    admin.execute(NOT_OURS[what].encode())

    assert world.find() == []


def test_nothing_is_found_in_what_was_just_made(world: World) -> None:
    """What migrate or create_all made is what was declared."""
    assert world.find() == []


def test_looking_takes_no_lock_and_leaves_nothing(
    world: World, admin: psycopg.Connection
) -> None:
    """A table that somebody keeps others from writing is compared; nothing is left."""
    count = "SELECT count(*), max(oid) FROM pg_policy"
    before = admin.execute(count).fetchone()
    with admin.transaction():
        admin.execute("LOCK TABLE invoice, billing_note IN EXCLUSIVE MODE")
        assert world.find() == []
    assert admin.execute(count).fetchone() == before


def test_an_owner_without_temporary_tables_sees_the_same(
    world: World, admin: psycopg.Connection, database: str
) -> None:
    """Where the database is another's, policies are tried on the tables themselves."""
    admin.execute(f"ALTER DATABASE {database} OWNER TO postgres".encode())
    # As the schema does where it may; a copy of a database has none of its privileges.
    admin.execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC".encode())

    assert world.find() == []

    admin.execute(f"ALTER POLICY {TENANT} ON invoice USING (number = 'x')".encode())
    assert [one.kind for one in world.find()] == [Kind.POLICY_CHANGED]
