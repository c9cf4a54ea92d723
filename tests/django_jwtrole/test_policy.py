"""Policies, row security and grants: what they become in the database, and refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection as default
from django.db import connections, models
from django.db.models import F, Q
from django.db.models.constraints import BaseConstraint
from django.db.models.expressions import RawSQL
from django.test.utils import isolate_apps

from django_jwtrole import Claim, Grant, Policy, RawPredicate, Related
from django_jwtrole.expressions import ClaimDefault
from django_jwtrole.policy import RowSecurity
from jwtrole.dialect import Dialect
from jwtrole.errors import ConfigurationError
from tests.django_project.billing.models import Invoice, Note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SEALED = "( SELECT jwtrole.sealed() AS sealed)"
AUTHOR = Q(author=Claim("sub", models.UUIDField()))
FOUND = (
    "SELECT cmd, roles::text[], permissive, qual, with_check FROM pg_policies "
    "WHERE policyname = %s"
)
NOTED = "SELECT obj_description(oid, 'pg_policy') FROM pg_policy WHERE polname = %s"

pytestmark = pytest.mark.django_db(databases=["default", "owner"])


@pytest.fixture
def editor() -> Iterator[BaseDatabaseSchemaEditor]:
    """Return a schema editor of the owner, inside the test's transaction."""
    with connections["owner"].schema_editor() as found:
        yield found


def _policy(**given: Any) -> Policy:
    return Policy(**{"name": "p", "using": AUTHOR, "to": ["member"], **given})


def _found(editor: Any, query: str, *parameters: str) -> list[tuple[Any, ...]]:
    with editor.connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def test_a_policy_is_created_and_dropped(editor: Any) -> None:
    """A policy is in the catalogue as declared, with the hash of its text."""
    policy = _policy()
    editor.add_constraint(Note, policy)
    (found,) = _found(editor, FOUND, "p")
    ((note,),) = _found(editor, NOTED, "p")
    editor.remove_constraint(Note, policy)

    claim = "( SELECT (jwtrole.claim('sub'::text))::uuid AS claim)"
    assert found == ("ALL", ["member"], "PERMISSIVE", f"(author = {claim})", None)
    assert note.startswith("jwtrole:1:")
    assert _found(editor, FOUND, "p") == []


@pytest.mark.parametrize(
    "clause",
    [
        AUTHOR | Q(pinned=True),
        ~AUTHOR,
        Q(pinned=True),
        Q(),
        Q(pk__in=[]),
        Q(author__isnull=False),
        Q(body__iexact=Claim("sub")),
        Q(AUTHOR | Q(pinned=True), pinned=False),
        Q(RawPredicate("author = (SELECT jwtrole.claim('sub')::uuid)")),
        RawPredicate("author = (SELECT jwtrole.claim('sub')::uuid)"),
        AUTHOR & RawPredicate("true"),
        AUTHOR & Q(body=RawSQL("%s", ["' OR true"])),
    ],
    ids=[
        "or",
        "not",
        "claimless",
        "true",
        "false",
        "isnull",
        "iexact",
        "nested",
        "raw",
        "bare raw",
        "raw beside",
        "raw sql",
    ],
)
def test_a_clause_without_a_strict_claim_is_sealed(editor: Any, clause: Q) -> None:
    """What an identity alone may open stays closed to a session that switched roles."""
    editor.add_constraint(Note, _policy(using=clause, check=AUTHOR))
    ((_, _, _, qual, check),) = _found(editor, FOUND, "p")

    assert qual.startswith(f"({SEALED} AND ")
    assert SEALED not in check


def test_a_strict_claim_beside_others_needs_no_seal(editor: Any) -> None:
    """In a conjunction the comparison with a claim is enough."""
    editor.add_constraint(Note, _policy(using=AUTHOR & Q(pinned=True)))
    ((_, _, _, qual, _),) = _found(editor, FOUND, "p")

    assert SEALED not in qual


def test_a_restrictive_policy_only_takes_away(editor: Any) -> None:
    """A restrictive policy stands as written: it opens nothing."""
    editor.add_constraint(Note, _policy(using=Q(pinned=True), permissive=False))
    ((_, _, mode, qual, _),) = _found(editor, FOUND, "p")

    assert (mode, qual) == ("RESTRICTIVE", "pinned")


@pytest.mark.parametrize("body", ["50%", "%s %(x)s", "it's", "a\\b", "ä€", '"', "$1"])
def test_literals_arrive_exactly(editor: Any, body: str) -> None:
    """Percent signs, quotes and backslashes in a literal are those in the database."""
    editor.add_constraint(Note, _policy(using=AUTHOR & Q(body=body)))
    editor.execute(
        "INSERT INTO billing_note (author, text_body, pinned) "
        "VALUES (gen_random_uuid(), %s, false)",
        [body],
    )
    ((qual,),) = _found(editor, "SELECT qual FROM pg_policies WHERE policyname = 'p'")
    literal = qual.partition("text_body = ")[2].partition("::text)")[0]

    assert _found(editor, f"SELECT {literal.replace('%', '%%')}::text = %s", body)[0][0]


def test_a_claims_name_is_a_literal(editor: Any) -> None:
    """A claim's name with quotes and percent signs is read as it is."""
    name = "https://x/'50%'"
    editor.add_constraint(Note, _policy(using=Q(body=Claim(name))))
    ((qual,),) = _found(editor, "SELECT qual FROM pg_policies WHERE policyname = 'p'")

    assert "jwtrole.claim('https://x/''50%'''::text)" in qual


@isolate_apps("tests.django_project.billing")
def test_a_join_is_refused(editor: Any) -> None:
    """A policy that would need a join is an error, never another condition."""

    class Line(models.Model):  # noqa: DJ008
        invoice = models.ForeignKey(Invoice, models.CASCADE)

        class Meta:
            app_label = "billing"

    policy = _policy(using=Q(invoice__number="1"))
    with pytest.raises(ConfigurationError, match="joins no other"):
        editor.add_constraint(Line, policy)
    found = [str(error) for error in _check(policy, Line)]

    assert any("joined field" in text for text in found)


def _check(constraint: Any, model: type[models.Model]) -> list[Any]:
    hook = constraint.check if hasattr(BaseConstraint, "check") else constraint._check
    return hook(model, connections["owner"])  # type: ignore[no-any-return]


def test_unknown_fields_are_found_by_the_checks() -> None:
    """A policy or a grant on a field that does not exist is a system check's error."""
    policy = _policy(using=Q(missing=1), check=Q(pinned=True))
    grant = Grant(name="g", to="member", on=["UPDATE(missing)", "SELECT"])

    assert [error.id for error in _check(policy, Note)] == ["models.E012"]
    assert [error.id for error in _check(grant, Note)] == ["models.E012"]
    assert _check(RowSecurity(name="r"), Note) == []


def test_a_grant_names_columns(editor: Any) -> None:
    """A grant speaks of fields and the database gets their columns; exact both ways."""
    grant = Grant(name="g", to="manager", on=["UPDATE(body, pinned)", "SELECT"])
    asked = (
        "SELECT has_column_privilege('manager', 'billing_note', c, 'UPDATE') "
        "FROM unnest(ARRAY['text_body', 'pinned', 'author']) AS c"
    )
    editor.add_constraint(Note, grant)
    granted = _found(editor, asked)
    editor.remove_constraint(Note, grant)

    assert granted == [(True,), (True,), (False,)]
    assert _found(editor, asked) == [(False,), (False,), (False,)]


def test_a_grant_on_a_missing_field_is_refused(editor: Any) -> None:
    """A grant on no field of the model never reaches the database."""
    grant = Grant(name="g", to="manager", on=["UPDATE(missing)"])

    with pytest.raises(ConfigurationError, match="no field 'missing'"):
        str(grant.create_sql(Note, editor))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"to": []}, "list of roles"),
        ({"to": "member"}, "list of roles"),
        ({"using": None}, "using="),
        ({"command": "TRUNCATE"}, "none of"),
        ({"command": "INSERT"}, "check= alone"),
        ({"command": "SELECT", "check": AUTHOR}, "using= alone"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(
    given: dict[str, Any], message: str
) -> None:
    """What PostgreSQL would refuse, or a forgotten role, is an error at declaration."""
    with pytest.raises(ConfigurationError, match=message):
        _policy(**given)


@pytest.mark.parametrize("on", [["TRUNCATE"], "SELECT", [], ["DELETE(body)"]])
def test_a_grant_that_cannot_work_is_refused(on: Any) -> None:
    """Privileges that work past row security cannot be granted."""
    with pytest.raises(ConfigurationError):
        Grant(name="g", to="member", on=on)


def test_constraints_survive_deconstruction() -> None:
    """What a migration writes makes the same object; any change makes another."""
    policies = [
        _policy(), _policy(to=["manager"]), _policy(using=Q(pinned=True)),
        _policy(check=AUTHOR), _policy(command="UPDATE"), _policy(permissive=False),
        _policy(template=0), _policy(using=Q(author=Claim("sub"))),
        _policy(using=Q(RawPredicate("true"))), _policy(using=Q(RawPredicate("f()"))),
        _policy(using=Q(Related("billing.Note", Q(pinned=True)))),
        _policy(using=Q(Related("billing.Note", Q(pinned=False)))),
        _policy(using=Q(Related("billing.Invoice", Q(pinned=False)))),
        RowSecurity(name="p"), Grant(name="p", to="member", on=["SELECT"]),
        Grant(name="p", to="member", on=["SELECT", "INSERT"]),
    ]  # fmt: skip
    for i, one in enumerate(policies):
        _, arguments, keywords = one.deconstruct()
        assert type(one)(*arguments, **keywords) == one
        assert hash(type(one)(*arguments, **keywords)) == hash(one)
        assert [j for j, other in enumerate(policies) if other == one] == [i]
    assert policies[0] != "p"


def test_validation_is_the_databases() -> None:
    """full_clean() does not guess at what the database decides."""
    _policy().validate(Note, Note())


def test_other_databases_ignore_them() -> None:
    """On SQLite there is nothing to create or remove."""
    from django.db.backends.sqlite3.base import DatabaseWrapper

    sqlite = DatabaseWrapper({**default.settings_dict, "NAME": ":memory:"}, "sqlite")
    editor = sqlite.SchemaEditorClass(sqlite, collect_sql=True)
    editor.deferred_sql = []
    for constraint in (_policy(), RowSecurity(name="r")):
        constraint.constraint_sql(Note, editor)
        assert constraint.create_sql(Note, editor) is None
        assert constraint.remove_sql(Note, editor) is None
    assert editor.deferred_sql == []


@pytest.mark.parametrize(
    ("field", "cast"),
    [
        (None, "(SELECT jwtrole.claim('c'))"),
        (models.TextField(), "(SELECT jwtrole.claim('c'))"),
        (models.CharField(max_length=3), "(SELECT jwtrole.claim('c'))"),
        (models.BigAutoField(), "(SELECT jwtrole.claim('c')::bigint)"),
        (
            models.DecimalField(max_digits=5, decimal_places=2),
            "(SELECT jwtrole.claim('c')::numeric)",
        ),
        (
            models.DateTimeField(),
            "(SELECT jwtrole.claim('c')::timestamp with time zone)",
        ),
        (models.JSONField(), "(SELECT jwtrole.claim('c')::jsonb)"),
    ],
)
def test_a_claim_is_cast_without_a_length(field: Any, cast: str) -> None:
    """A cast never cuts or rounds: no two claims become one."""
    compiler: Any = None

    assert Claim("c", field).as_sql(compiler, connections["owner"]) == (cast, ())


def test_a_default_is_a_bare_call() -> None:
    """A column's default holds no sub-select, which PostgreSQL would refuse."""
    compiler: Any = None
    text, _ = ClaimDefault("c").as_sql(compiler, connections["owner"])

    assert text == "jwtrole.claim('c')"
    assert repr(ClaimDefault("c")) == "ClaimDefault('c')"


@pytest.mark.parametrize("name", ["", None, "a\0b"])
def test_a_claim_needs_a_name(name: Any) -> None:
    """A claim without a usable name is refused at declaration."""
    with pytest.raises(ConfigurationError, match="name"):
        Claim(name)


def test_a_claim_needs_a_column_type() -> None:
    """A field that is no column cannot be a claim's type."""
    compiler: Any = None
    claim = Claim("c", models.ManyToManyField(Note))

    with pytest.raises(ConfigurationError, match="column type"):
        claim.as_sql(compiler, connections["owner"])


def test_an_alias_may_be_of_another_engine(
    editor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims, seal and modes are written as the engine's dialect has them."""
    sharded = Dialect(name="Sharded", sub_selects=False, restrictive=False)
    monkeypatch.setattr(editor.connection, "policy_dialect", sharded, raising=False)
    policy = _policy(check=Q(pinned=True))
    editor.add_constraint(Note, policy)
    ((_, _, _, qual, check),) = _found(editor, FOUND, "p")

    assert qual == "(author = (jwtrole.claim('sub'::text))::uuid)"
    assert check == "(jwtrole.sealed() AND pinned)"
    with pytest.raises(ConfigurationError, match=r"'p' on billing.Note: Sharded keeps"):
        editor.add_constraint(Note, _policy(permissive=False))


def test_sql_text_stays_within_itself(editor: Any) -> None:
    """A text that could reach past its end is refused, wherever it comes from."""
    with pytest.raises(ConfigurationError, match="closes nothing"):
        RawPredicate("true) OR (true")
    policy = _policy(using=Q(body=RawSQL("'x') OR (true", [])))
    with pytest.raises(ConfigurationError, match=r"'p' on billing.Note.*a comment"):
        editor.add_constraint(Note, _policy(using=Q(body=RawSQL("'x' -- ", []))))
    # Within the parentheses that the seal stands before, it changes nothing.
    editor.add_constraint(Note, policy)
    ((_, _, _, qual, _),) = _found(editor, FOUND, "p")
    assert qual.startswith(f"({SEALED} AND ((")
    assert repr(RawPredicate("a")) == "RawPredicate('a')"


def test_a_claim_can_be_selected() -> None:
    """Queries may read a claim of whoever is acting."""
    from django_jwtrole.testing import acting_as
    from tests.django_jwtrole.factories import NoteFactory

    note = NoteFactory()
    with acting_as(role="member", sub=str(note.author)):
        rows = Note.objects.annotate(me=Claim("sub", models.UUIDField()))
        assert rows.filter(author=F("me")).get().me == note.author
