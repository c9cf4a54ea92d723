"""A value in a policy is that value, whatever the settings it is written under."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.postgres.fields import (
    ArrayField,
    DateTimeRangeField,
    IntegerRangeField,
)
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Lower, Mod, Now
from django.db.models.lookups import Exact, GreaterThan
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy
from psycopg.types.range import Range

from django_jwtrole import Policy, RawPredicate
from jwtrole.errors import ConfigurationError
from tests.awkward import CASES, SETTINGS
from tests.django_jwtrole.things import Things, tables, text_of, true_of
from tests.django_project.billing.models import Note

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(databases=["default", "owner"])


class Mood(models.TextChoices):
    FINE = "it's fine", "Fine"
    SLASHED = "back\\slash: 50%", "Slashed"


Sample: Any = Things().model(
    "Sample",
    id=models.IntegerField(primary_key=True),
    body=models.TextField(null=True),
    number=models.BigIntegerField(null=True),
    price=models.DecimalField(max_digits=20, decimal_places=2, null=True),
    ratio=models.FloatField(null=True),
    flag=models.BooleanField(null=True),
    who=models.UUIDField(null=True),
    day=models.DateField(null=True),
    clock=models.TimeField(null=True),
    made=models.DateTimeField(null=True),
    span=models.DurationField(null=True),
    address=models.GenericIPAddressField(null=True),
    data=models.JSONField(null=True),
    tags=ArrayField(models.TextField(null=True), null=True),
    whos=ArrayField(models.UUIDField(), null=True),
    mood=models.CharField(max_length=30, choices=Mood, null=True),
    period=IntegerRangeField(null=True),
    times=DateTimeRangeField(null=True),
)


def at(hour: int) -> dt.datetime:
    """Return an hour of a day."""
    return dt.datetime(2026, 1, 1, hour, tzinfo=dt.UTC)


SPECIAL: list[tuple[str, Any, Any]] = [
    ("mood", Mood.SLASHED, Mood.FINE),
    ("tags", ["a", None, "NULL"], ["a", "NULL", None]),
    ("period", Range(1, 5), Range(1, 6)),
    ("period", Range(None, 5), Range(0, 5)),
    ("times", Range(at(1), at(2)), Range(at(1), at(3))),
]


@pytest.fixture(params=SETTINGS, ids=["usual", "hostile"])
def editor(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return the owner's schema editor, the table made."""
    with tables(Sample) as found, found.connection.cursor() as cursor:
        for name, value in request.param.items():
            cursor.execute(f"SET LOCAL {name} = '{value}'")
        yield found


def opened(editor: Any, expression: Any, name: str = "p") -> list[int]:
    """Make a policy and return the rows for which PostgreSQL's text of it is true."""
    given = {"using": expression, "to": ["PUBLIC"], "permissive": False}
    text = text_of(editor, Sample, Policy(name=name, **given))
    return true_of(editor, Sample, text)


def insert(*rows: dict[str, Any]) -> None:
    """Add rows, as parameters."""
    for number, row in enumerate(rows):
        Sample.objects.using("owner").create(id=number, **row)


@pytest.mark.parametrize(("name", "wanted", "other"), [*CASES, *SPECIAL])
def test_a_literal_is_the_value(
    editor: Any, name: str, wanted: Any, other: Any
) -> None:
    """Of two rows that nearly look alike the policy finds the one, by = and by IN."""
    if name == "address":
        wanted, other = str(wanted), str(other)
    insert({name: wanted}, {name: other}, {name: None})

    assert opened(editor, Q(**{name: wanted})) == [0]
    if not isinstance(wanted, dict | list):
        assert opened(editor, Q(**{f"{name}__in": [wanted]}), "q") == [0]


@pytest.mark.parametrize("text", ["50%", "_", "back\\slash", "it's: 'a'"])
@pytest.mark.parametrize("lookup", ["contains", "icontains"])
def test_a_pattern_matches_what_it_says(editor: Any, text: str, lookup: str) -> None:
    """LIKE with escaped percent signs and backslashes finds the text alone."""
    like = f"<{text.replace(text[-1], 'xy')}>"
    insert({"body": f"<{text}>"}, {"body": like}, {"body": "<50 off>"})

    assert opened(editor, Q(**{f"body__{lookup}": text})) == [0]


ROWS: list[dict[str, Any]] = [
    {"number": 1, "body": "a", "mood": Mood.FINE, "tags": ["x", "y"], "made": at(1)},
    {"number": 2, "mood": Mood.SLASHED, "data": {"k": "v"}, "address": "10.0.0.1"},
    {"body": "b", "data": {"k": "w", "l": [1]}, "price": Decimal("2.00")},
    {"number": 4, "body": "A", "period": Range(1, 5), "made": at(2)},
]


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        (Q(mood__in=[Mood.FINE, Mood.SLASHED]), [0, 1]),
        (Q(number__range=(2, 4)), [1, 3]),
        (Q(body__isnull=True) | Q(number=F("id") + 1), [0, 1, 3]),
        (
            Q(
                Case(
                    When(body__isnull=True, then=Q(number__gt=1)),
                    default=Q(number=4),
                    output_field=models.BooleanField(),
                )
            ),
            [1, 3],
        ),
        (Q(data__k="v"), [1]),
        (Q(Exact(KT("data__k"), "w")), [2]),
        (Q(data__l__0=1), [2]),
        (Q(data__contains={"l": [1]}), [2]),
        (Q(data__has_key="l"), [2]),
        (Q(tags__contains=["x"]), [0]),
        (Q(tags__overlap=["y", "z"]), [0]),
        (Q(tags__len=2), [0]),
        (Q(period__contains=4), [3]),
        (Q(period__overlap=Range(4, 9)), [3]),
        (Q(Exact(Lower("body"), Value("a"))), [0, 3]),
        (Q(body__iexact="a"), [0, 3]),
        (Q(Exact(Mod(Coalesce("number", 9), 2), 0)), [1, 3]),
        (Q(GreaterThan(F("made"), Value(at(1)))), [3]),
        (Q(made__lt=Now()), [0, 3]),
        (Q(made__date=dt.date(2025, 12, 31), made__hour=19), [0]),
        (RawPredicate("body LIKE 'a%' AND ':x' <> '%s'"), [0]),
        (~Q(RawPredicate("body = 'a'")), [2, 3]),
        (Q(number=4) & Q(RawPredicate("true OR false")), [3]),
        (Q(), [0, 1, 2, 3]),
        (Q(pk__in=[]), []),
    ],
)
def test_an_expression_finds_its_rows(
    editor: Any, expression: Any, rows: list[int]
) -> None:
    """What the ORM can say of a row is what the policy asks of it."""
    insert(*ROWS)

    assert opened(editor, expression) == rows
    found = Sample.objects.using("owner").filter(expression).order_by("id")
    assert [row.id for row in found] == rows


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        (Q(body=b"x"), "bytes are no literal"),
        (Q(body__in=["a", b"x"]), "bytes are no literal"),
        (Q(ratio=float("nan")), "nan is no literal"),
        (Q(price__gt=Decimal("Infinity")), "Infinity is no literal"),
        (Q(data__contains={"k": float("nan")}), "nan is no literal"),
        (Q(body="a\0b"), "text with a NUL"),
        (Q(made__lt=dt.datetime.now), "'datetime.now' would be called anew"),
        (Q(Exact(F("made"), Value(dt.datetime.now))), "called anew"),
        (Q(Exact(F("made"), dt.datetime.now)), "called anew"),
        (Q(made__lt=Now), "'Now' would be called anew"),
        (~Q(Q(number=1) | Q(number=lambda: 1)), "called anew"),
        (Q(body=gettext_lazy("x")), "worked out anew"),
        (Q(body=SimpleLazyObject(lambda: "x")), "worked out anew"),
        (Q(number__in=Note.objects.values("id")), r"QuerySet\(\) holds.*Related\("),
        (Q(number__in=Note.objects.values("id").query), r"Query\(\) holds"),
        (Q(number=models.Subquery(Note.objects.values("id"))), r"Subquery\(\) holds"),
        (Q(models.Exists(Note.objects.all())), r"Exists\(\) holds.*Related\("),
        (Case(When(models.Exists(Note.objects.all()), then=True)), r"Exists\(\) holds"),
        (Q(number=Note(id=1)), "a row of billing.Note cannot be frozen"),
    ],
)
def test_what_cannot_be_frozen_is_refused(
    editor: Any, expression: Any, complaint: str
) -> None:
    """A value that would be another one tomorrow, or none, is an error."""
    policy = Policy(name="p", using=expression, to=["member"])

    with pytest.raises(
        ConfigurationError, match=rf"'p' on things.Sample: .*{complaint}"
    ):
        str(policy.create_sql(Sample, editor))
