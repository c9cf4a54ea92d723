"""A policy that cannot work is an error of the system checks, before any migration."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.core.checks import Tags, registry, run_checks
from django.db import models
from django.db.models import F, Func, OuterRef, Q, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Lower
from django.db.models.lookups import Exact, LessThanOrEqual

from django_jwtrole import Claim, Policy, RawPredicate, Related
from django_jwtrole.model_checks import check_dependencies, check_policies
from tests.django_jwtrole.things import Things
from tests.django_project.billing.models import Invoice

WHO = Claim("sub", models.UUIDField())


class Unwritable:
    """Be a value that no migration can hold."""


def found(expression: Any, **given: Any) -> list[str]:
    """Return what the check says of a model with a policy."""
    things = Things()
    things.model("Team", id=models.UUIDField(primary_key=True))
    things.model(
        "Page",
        author=models.UUIDField(),
        body=models.TextField(),
        word=models.CharField(max_length=5),
        level=models.IntegerField(),
        day=models.DateField(),
        data=models.JSONField(),
        authors=ArrayField(models.UUIDField()),
        team=models.ForeignKey("things.Team", models.CASCADE),
        options={
            "constraints": [
                Policy(**{"name": "p", "using": expression, "to": ["member"], **given})
            ]
        },
    )
    errors = check_policies(things.apps.get_app_configs())
    assert {(error.id, error.obj._meta.label) for error in errors} <= {
        ("jwtrole.E020", "things.Page")
    }
    return [error.msg for error in errors]


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        (Q(missing=1), "Cannot resolve keyword 'missing'"),
        (Q(team__id=uuid.UUID(int=1)), "joins no other"),
        (Q(models.Exists(Invoice.objects.all())), "write Related('app.Model'"),
        (Q(day__lt=uuid.uuid4), "'uuid4' would be called anew each time"),
        (Q(body=Unwritable()), "Cannot serialize"),
        (Q(Related("things.Page", Q(pk=OuterRef("pk")))), "infinite recursion"),
        (
            Q(author=Claim("sub")),
            "the claim 'sub', which is read as text: write Claim('sub', models.UUIDF",
        ),
        (Q(body=WHO), "body (text) with the claim 'sub', which is read as uuid: write"),
        (Q(word=WHO), "write Claim('sub', models.CharField())"),
        (Q(team=Claim("team")), "team (uuid) with the claim 'team'"),
        (Q(level__lte=Claim("n")), "write Claim('n', models.IntegerField())"),
        (Q(level__in=[1, Claim("n")]), "write Claim('n', models.IntegerField())"),
        (Q(level__range=(1, Claim("n"))), "write Claim('n', models.IntegerField())"),
        (Q(day__gt=Claim("day")), "write Claim('day', models.DateField())"),
        (Q(Exact(Claim("n"), F("level"))), "write Claim('n', models.IntegerField())"),
        (Q(authors=Claim("n")), "write Claim('n', models.ArrayField())"),
        (
            Q(data__k=Claim("k")),
            "(jsonb) with the claim 'k', which is read as text: write Q(Exact(KT(",
        ),
        (Q(Exact(Value(1), Claim("k"))), "Value (integer) with the claim 'k'"),
        (Q(Exact(Lower("body"), WHO)), "Lower (text) with the claim 'sub'"),
        (
            ~Q(Q(level=1) | Q(Related("things.Team", Q(pk=Claim("team"))))),
            "id (uuid) with the claim 'team'",
        ),
    ],
)
def test_what_cannot_work_is_said_with_the_remedy(
    expression: Any, complaint: str
) -> None:
    """Model, policy and what to write instead stand in the message."""
    (message,) = found(expression)

    assert message.startswith("Policy 'p' on things.Page")
    assert complaint in message


@pytest.mark.parametrize(
    "expression",
    [
        Q(author=WHO),
        Q(body=Claim("sub")),
        Q(word=Claim("sub")),
        Q(level__lte=Claim("n", models.BigIntegerField())),
        Q(day=Claim("day", models.DateTimeField())),
        Q(authors__contains=[WHO]),
        Q(Exact(KT("data__k"), Claim("k"))),
        Q(Exact(Cast("author", models.TextField()), Claim("sub"))),
        Q(Exact(Func(F("level"), function="f"), Claim("k", models.IntegerField()))),
        Q(LessThanOrEqual(Coalesce(F("level"), F("body")), Claim("k"))),
        Q(Exact(Value("x"), Claim("k"))) | Q(body__icontains=Claim("k")),
        Q(Exact(RawPredicate("true"), Claim("k", models.BooleanField()))),
        Q(team=Claim("team", models.UUIDField())),
        Q(pk__in=[]),
        Q(),
    ],
)
def test_what_can_work_is_left_alone(expression: Any) -> None:
    """Nothing is refused that PostgreSQL can compare, or that nobody knows."""
    expected = ["(integer)"] if "Value(1)" in repr(expression) else []

    assert [
        part for text in found(expression) for part in expected if part in text
    ] == (expected)
    assert len(found(expression)) == len(expected)


def test_both_clauses_are_looked_at() -> None:
    """WITH CHECK is checked like USING."""
    (message,) = found(Q(author=WHO), check=Q(missing=1))

    assert "missing" in message


@pytest.mark.parametrize("name", ["n" * 64, "ü" * 32])
def test_a_name_that_postgresql_would_cut_is_an_error(name: str) -> None:
    """A name over 63 bytes is said with the model."""
    (message,) = found(Q(author=WHO), name=name)

    assert f"Policy '{name}' on things.Page" in message
    assert "has 64 bytes" in message


def test_two_policies_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's own check names a constraint that two models, or one, have twice."""
    twice = [Policy(name="same", using=Q(), to=["member"]) for _ in range(2)]
    monkeypatch.setattr(Invoice._meta, "constraints", twice)

    errors = run_checks(tags=[Tags.models])

    assert [(error.id, "'same'" in error.msg) for error in errors] == [
        ("models.E031", True)
    ]


def test_the_checks_run_without_a_database() -> None:
    """They are of the models, which makemigrations checks in every Django."""
    ours = {check_policies, check_dependencies}

    assert ours <= set(registry.registry.registered_checks)
    assert all(check.tags == (Tags.models,) for check in ours)  # type: ignore[attr-defined]


def test_the_projects_own_policies_pass() -> None:
    """A project without a mistake has no finding, all apps or one."""
    assert check_policies() == []
    assert check_policies([apps.get_app_config("billing")]) == []
    assert check_dependencies() == []
