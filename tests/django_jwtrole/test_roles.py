"""Roles that inherit, their settings, and what of them travels through migrations."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections, migrations, models
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import OperationWriter

from django_jwtrole import Grant, Policy, Role
from django_jwtrole.checks import check_settings
from django_jwtrole.conf import auth, conf
from django_jwtrole.management.commands import migrate
from django_jwtrole.operations import GrantOn, RevokeOn
from django_jwtrole.roles import _named, named_by_plan, refuse_missing
from jwtrole import ConfigurationError, acting_as
from jwtrole.testing import ThrowawayIssuer
from tests.django_jwtrole.test_migrations import History, _state
from tests.django_project.aliases import forget, register
from tests.django_project.billing.models import Invoice
from tests.family import LIMITS, Family, family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.conf import LazySettings

    from tests import postgres

INHERITING = Role("member", inherits=[Role("reader", inherits=["base"])])
OPEN = pytest.mark.django_db(databases=["default", "owner"])
LINE = "python manage.py jwtrole bootstrap --apply --dsn DSN"


@pytest.fixture(params=["application", "database"])
def trust(request: pytest.FixtureRequest) -> str:
    """Return one mode after the other."""
    return str(request.param)


@pytest.fixture
def kin(server: postgres.Server) -> Iterator[Family]:
    """Return roles of the test's own."""
    with family(server) as found:
        yield found


@pytest.fixture
def inheriting(settings: LazySettings) -> None:
    """Have the settings declare a member that inherits others."""
    settings.JWTROLE = {**settings.JWTROLE, "ROLES": [INHERITING, "manager"]}


# The settings


def test_roles_stand_in_the_settings(inheriting: None, settings: LazySettings) -> None:
    """ROLES and ANONYMOUS take a Role as they take a name."""
    settings.JWTROLE = {**settings.JWTROLE, "ANONYMOUS": Role("anon", ["base"])}

    assert auth().roles == conf().roles == ("member", "manager")
    assert conf().anonymous == "anon"
    assert auth().reach("anon") == {"anon", "base"}
    assert conf().reach("member") == {"member", "reader", "base"}
    assert list(conf().fixed_roles) == ["member", "manager", "anon", "reader", "base"]


def test_a_wrong_declaration_is_named_by_the_checks(settings: LazySettings) -> None:
    """A circle among the roles is E003."""
    circle = [Role("member", ["manager"]), Role("manager", ["member"])]
    settings.JWTROLE = {**settings.JWTROLE, "ROLES": circle}

    assert [one.id for one in check_settings()] == ["jwtrole.E003"]


# Acting


def test_a_member_acts_with_what_a_reader_has(kin: Family, trust: str) -> None:
    """It reads by the inherited policy, writes by its own, within its limits."""
    issuer = ThrowawayIssuer()
    given = kin.auth(issuer, trust)
    kin.install(given)
    kin.make_notes()
    alias = register(kin.server, kin.database, given, USER=kin.login)
    ann = issuer.identity(given, sub="ann", role=kin.member)
    meg = issuer.identity(given, sub="meg", role=kin.manager)

    for _ in range(2):
        with acting_as(ann):
            assert len(_ask(alias, "SELECT body FROM note")) == 2
            written = _ask(alias, "UPDATE note SET body = 'c' RETURNING author")
            assert written == [("ann",)]
            assert _limits(alias) == list(LIMITS.values())
            with pytest.raises(DatabaseError, match="statement timeout"):
                _ask(alias, "SELECT pg_sleep(5)")
    with acting_as(meg):
        assert _limits(alias) == ["0", ""]
    forget(alias)


def _ask(alias: str, query: str) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(query)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _limits(alias: str) -> list[str]:
    query = ", ".join(f"current_setting('{name}', true)" for name in LIMITS)
    return [value or "" for value in _ask(alias, f"SELECT {query}")[0]]


def test_save_writes_what_inherited_grants_let_it(
    inheriting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that a role may update through another one are written too."""
    grants = [
        Grant(name="one", to="member", on=["UPDATE(number)"]),
        Grant(name="two", to="base", on=["UPDATE(id)"]),
        Grant(name="three", to="manager", on=["UPDATE"]),
    ]
    monkeypatch.setattr(Invoice._meta, "constraints", grants)

    assert Invoice._updatable("member") == {"number", "id"}
    assert Invoice._updatable("reader") == {"id"}
    assert Invoice._updatable("anon") is None


# manage.py jwtrole bootstrap


@pytest.fixture
def filled(
    kin: Family, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> Family:
    """Have the settings name the test's own owner, login, test login and roles."""
    settings.JWTROLE = {
        **settings.JWTROLE, "ROLES": kin.roles, "ANONYMOUS": kin.manager,
    }  # fmt: skip
    for alias in connections:
        given = connections[alias].settings_dict
        user = kin.owner if alias == "owner" else kin.login
        monkeypatch.setitem(given, "USER", user)
        monkeypatch.setitem(given, "TEST", {**given["TEST"], "USER": kin.test})
    return kin


def _said(*words: str) -> str:
    output = io.StringIO()
    call_command("jwtrole", *words, stdout=output)
    return output.getvalue()


def test_bootstrap_fills_everything_in(filled: Family) -> None:
    """Owner, logins, test logins, fixed, inherited and anonymous roles are made."""
    printed = _said("bootstrap")

    made = [
        line.split('"')[1]
        for line in printed.splitlines()
        if line.strip().startswith("CREATE ROLE ")
    ]
    assert made == [
        "jwtrole_owner", filled.owner, filled.member, filled.manager, filled.reader,
        filled.login, filled.test,
    ]  # fmt: skip
    assert f'CREATE ROLE "{filled.test}"' not in _said("bootstrap", "--no-test")


def test_bootstrap_applies_and_may_be_repeated(filled: Family) -> None:
    """With --apply the roles are what the settings declare."""
    filled.bootstrap(filled.reader, filled.member)
    assert filled.members() == set()

    for _ in range(2):
        call_command(
            "jwtrole", "bootstrap", "--apply", "--no-test", dsn=filled.server.dsn
        )
        assert filled.members() == {(filled.reader, filled.member)}


def test_bootstrap_shows_the_servers_warnings(filled: Family) -> None:
    """Somebody who may not quieten the log is told, and the roles are made."""
    creator = f"creator{filled.login.removeprefix('login')}"
    with filled.admin() as admin:
        admin.execute(f"CREATE ROLE {creator} LOGIN CREATEROLE".encode())
        admin.execute(f"ALTER ROLE {filled.login} RESET ALL".encode())
        # Both were made by somebody else.
        for name in (
            "jwtrole_owner", filled.owner, filled.login, filled.member,
            filled.manager, filled.reader,
        ):  # fmt: skip
            admin.execute(f"GRANT {name} TO {creator} WITH ADMIN OPTION".encode())
    errors = io.StringIO()
    dsn = filled.server.conninfo(creator, filled.database)
    call_command("jwtrole", "bootstrap", "--apply", "--no-test", dsn=dsn, stderr=errors)

    assert "log_parameter_max_length" in errors.getvalue()
    with filled.admin() as admin:
        admin.execute(f"DROP OWNED BY {creator} CASCADE".encode())
        for name in (filled.owner, filled.login, filled.member):
            admin.execute(f"REVOKE {name} FROM {creator} CASCADE".encode())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bootstrap", "--apply"], "--apply needs --dsn"),
        (["bootstrap", "sync"], "no more than its options"),
        (["bootstrap", "--sub", "ann"], "no more than its options"),
        (["bootstrap", "--apply", "--dsn", "host=/nowhere"], "No connection"),
    ],
)
def test_misuse_is_explained(filled: Family, words: list[str], says: str) -> None:
    """What makes no sense says so, and does nothing."""
    with pytest.raises(CommandError, match=says):
        _said(*words)


# Migrations that name roles


MODEL_ROLES = [
    migrations.CreateModel(
        "Bill",
        [("id", models.BigAutoField(primary_key=True))],
        {"constraints": [Grant(name="g", to="one", on=["SELECT"])]},
    ),
    migrations.AddConstraint(
        "bill", Policy(name="p", using=models.Q(id=1), to=["two", "PUBLIC"])
    ),
    GrantOn("schema", "shop", to="three", on=["USAGE"]),
    RevokeOn("schema", "shop", to="four", on=["USAGE"]),
    migrations.SeparateDatabaseAndState(
        database_operations=[GrantOn("sequence", "s", to="five", on=["USAGE"])]
    ),
    migrations.AddConstraint(
        "bill", models.UniqueConstraint(fields=["id"], name="no role")
    ),
    migrations.RunSQL("SELECT 1"),
]


def test_each_operation_tells_the_roles_it_names() -> None:
    """Policies, grants, and what stands inside other operations."""
    found = set(_named(MODEL_ROLES))

    assert found == {"one", "two", "PUBLIC", "three", "four", "five"}


@OPEN
def test_what_is_to_be_applied_is_what_is_asked_for(settings: LazySettings) -> None:
    """Applied migrations, those of other applications and the way back need no role."""
    owner = connections["owner"]
    plan: Callable[..., set[str]] = lambda *a, **k: named_by_plan(owner, *a, **k)  # noqa: E731
    assert plan(None, None) == set()
    with owner.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'billing'")

    assert plan(None, None) == plan("billing", None) == plan("billing", "0001")
    assert plan("billing", None) == {"member", "manager"}
    assert plan("sessions", None) == set()
    assert plan("billing", "zero") == plan("billing", "no_such") == set()
    settings.MIGRATION_MODULES = {"billing": None}
    assert plan(None, None) == set()
    assert plan(None, None, run_syncdb=True) == {"member", "manager"}


@OPEN
def test_missing_roles_are_named_with_what_makes_them(inheriting: None) -> None:
    """The line is exact; what the settings do not declare is told apart."""
    owner = connections["owner"]
    refuse_missing(owner, ["member", "manager", "PUBLIC"])

    with pytest.raises(ConfigurationError) as caught:
        refuse_missing(owner, ["member", "base", "auditor"])

    said = str(caught.value)
    assert "PostgreSQL lacks the roles auditor, base: have somebody with" in said
    assert f"`{LINE}`" in said
    assert "do not declare auditor: name them in JWTROLE['ROLES']" in said


@OPEN
def test_migrate_refuses_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A role that a migration names and nobody made ends the command at once."""
    monkeypatch.setattr(migrate, "named_by_plan", lambda *_, **__: {"no_such_role"})
    monkeypatch.setattr(
        migrate, "install_first", lambda _: pytest.fail("something was done")
    )

    with pytest.raises(CommandError, match=f"no_such_role.*{LINE}"):
        call_command("migrate", verbosity=0)


# Grants in migrations


OPERATIONS = {
    "sequence": (
        "CREATE SEQUENCE ticket",
        GrantOn("sequence", "ticket", to="member", on=["USAGE"]),
        "SELECT has_sequence_privilege('member', 'ticket', 'USAGE')",
    ),
    "function": (
        """CREATE FUNCTION total(a int) RETURNS int RETURN 1;
        REVOKE EXECUTE ON FUNCTION total(int) FROM PUBLIC""",
        GrantOn("function", "total(int)", to="member", on=["EXECUTE"], schema="public"),
        "SELECT has_function_privilege('member', 'total(int)', 'EXECUTE')",
    ),
    "schema": (
        "CREATE SCHEMA shop",
        GrantOn("schema", "shop", to="member", on=["USAGE"]),
        "SELECT has_schema_privilege('member', 'shop', 'USAGE')",
    ),
    "default tables": (
        "CREATE SCHEMA shop",
        GrantOn("default tables", "shop", to="member", on=["SELECT"]),
        "SELECT count(*) = 1 FROM pg_default_acl",
    ),
}


@OPEN
@pytest.mark.parametrize("case", OPERATIONS)
def test_a_grant_in_a_migration_goes_both_ways(case: str) -> None:
    """It grants and takes away; its opposite does the same the other way round."""
    makes, operation, asks = OPERATIONS[case]
    given = operation.grant
    opposite = RevokeOn(
        given.kind, given.name, to=given.to, on=given.on, schema=given.schema
    )
    state = ProjectState()
    operation.state_forwards("bank", state)
    with connections["owner"].schema_editor() as editor:
        editor.execute(makes)

        def may() -> bool:
            with editor.connection.cursor() as cursor:
                cursor.execute(asks)
                return bool(cursor.fetchone()[0])

        for one, forwards in ((operation, True), (opposite, False)):
            one.database_forwards("bank", editor, state, state)
            assert may() is forwards
            one.database_backwards("bank", editor, state, state)
            assert may() is not forwards


@pytest.mark.parametrize("kind", [GrantOn, RevokeOn])
def test_a_grant_is_written_as_it_was_declared(kind: Any) -> None:
    """A squashed migration holds it, arguments and all; its name can be told."""
    one = kind("function", "total(int)", to="member", on=["EXECUTE"], schema="shop")
    text, imports = OperationWriter(one, 0).serialize()
    names: dict[str, Any] = {}
    for line in imports:
        exec(line, names)
    copy = eval(text.rstrip(","), names)

    assert (type(copy), copy.grant) == (kind, one.grant)
    assert one.describe() == (
        f"{kind.__name__[:-2]} member: EXECUTE on function total(int)"
    )
    assert (
        one.migration_name_fragment == f"{kind.__name__[:-2].lower()}_member_total_int"
    )
    assert one.reversible
    assert one.reduces_to_sql


def test_a_grant_that_cannot_be_is_refused_where_it_is_written() -> None:
    """The migration does not even load."""
    with pytest.raises(ConfigurationError, match="nothing else can be granted"):
        GrantOn("schema", "shop", to="member", on=["CREATE"])


def test_other_databases_are_left_alone() -> None:
    """Nothing is sent where there are no roles."""

    class Editor:
        class connection:  # noqa: N801
            vendor = "sqlite"

    state = ProjectState()
    for kind in (GrantOn, RevokeOn):
        one = kind("schema", "shop", to="member", on=["USAGE"])
        one.database_forwards("bank", Editor(), state, state)
        one.database_backwards("bank", Editor(), state, state)


# Grants on tables


MAY = (
    "SELECT has_table_privilege('member', 'bank_account', p) FROM"
    " unnest('{SELECT,INSERT,UPDATE}'::text[]) AS p"
)
MAY_COLUMN = "SELECT has_column_privilege('member', 'bank_account', 'author', 'UPDATE')"


def _may(query: str = MAY) -> list[bool]:
    with connections["owner"].cursor() as cursor:
        cursor.execute(query)
        return [value for (value,) in cursor.fetchall()]


@OPEN
def test_a_dropped_grant_leaves_what_another_one_gives() -> None:
    """Two grants to one role overlap; each goes alone, and comes back."""
    history = History()
    first = Grant(name="one", to="member", on=["SELECT", "UPDATE"])
    second = Grant(name="two", to="member", on=["SELECT", "INSERT", "UPDATE(author)"])
    other = Grant(name="three", to="manager", on=["UPDATE"])
    history.go(_state([first, second, other]))
    assert _may() == [True, True, True]

    assert history.go(_state([second, other])) == ["RemoveConstraint"]
    assert _may() == [True, True, False]
    assert _may(MAY_COLUMN) == [True]
    history.go(_state([other]))
    assert _may() == [False, False, False]
    assert _may(MAY_COLUMN) == [False]
    history.back()


@OPEN
def test_the_grant_of_a_dropped_column_goes_and_comes_back() -> None:
    """Field and grant are removed by one migration, which can be undone."""
    history = History()

    def state(on: list[str], *more: tuple[str, models.Field[Any, Any]]) -> ProjectState:
        made = _state([Grant(name="one", to="member", on=on)])
        made.models["bank", "account"].fields |= dict(more)
        return made

    title = ("title", models.TextField(default=""))
    history.go(state(["SELECT", "UPDATE(author, title)"], title))
    names = history.go(state(["SELECT", "UPDATE(author)"]))

    assert sorted(names) == ["AddConstraint", "RemoveConstraint", "RemoveField"]
    assert _may(MAY_COLUMN) == [True]
    history.back()
