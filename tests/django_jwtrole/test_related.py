"""Rows of another table, told from the policy's own; whatever mixes them is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from django.db.models import F, OuterRef, Q
from django.db.models.functions import Lower
from django.db.models.lookups import Exact

from django_jwtrole import Claim, Policy, Related
from jwtrole.errors import ConfigurationError
from tests.django_jwtrole.things import Things, tables, text_of, true_of

pytestmark = pytest.mark.django_db(databases=["default", "owner"])

THINGS = Things("billing")
Team: Any = THINGS.model("Team", title=models.TextField())
Member: Any = THINGS.model(
    "Member",
    team=models.ForeignKey(Team, models.CASCADE),
    author=models.TextField(),
    active=models.BooleanField(default=True),
)
Page: Any = THINGS.model(
    "Page",
    parent=models.ForeignKey("self", models.CASCADE, null=True),
    team=models.ForeignKey(Team, models.CASCADE, null=True),
    teams=models.ManyToManyField(Team, related_name="pages"),
    author=models.TextField(),
)
MEMBER = Q(team=OuterRef("team"), author=Claim("sub"))


def policy(expression: Any, **given: Any) -> Policy:
    """Return a policy with an expression."""
    given = {"name": "page_p", "using": expression, "to": ["member"], **given}
    return Policy(**given)


def test_a_condition_is_correlated() -> None:
    """Like-named columns of both tables stay apart, the policy's own by its table."""
    with tables(Team, Member, Page) as editor:
        text = text_of(editor, Page, policy(Related("things.Member", MEMBER)))
    # Of late Django quotes its aliases.
    text = text.replace('"', "").lower()

    assert text.startswith("(( select jwtrole.sealed() as sealed) and (exists (")
    assert "u0.team_id = things_page.team_id" in text
    assert "u0.author = ( select jwtrole.claim('sub'::text)" in text


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        (Related("things.Member", Q(team=OuterRef("team"))), [1, 3]),
        (~Q(Related("things.Member", Q(team=OuterRef("team")))), [2]),
        (~Related("things.Member", Q(team=OuterRef("team"))), [2]),
        (
            Related("things.Member", Q(author=OuterRef("author")))
            & Q(team__isnull=False),
            [1],
        ),
        (
            Related(
                "things.Member",
                Q(author=OuterRef("author")) & ~Q(active=False),
            ),
            [1, 2],
        ),
        (Related("things.Member", Q(team__title="red", team=OuterRef("team"))), [1]),
        (
            Related(
                "things.Team",
                Q(pk=OuterRef("team"))
                & Q(
                    Related(
                        "things.Member",
                        Q(
                            team=OuterRef("pk"),
                            author=OuterRef(OuterRef("author")),
                        ),
                    )
                ),
            ),
            [1],
        ),
        (
            Related("things.Team", Q(Exact(Lower("title"), Lower(OuterRef("author"))))),
            [],
        ),
        (Related("things.Member", Q(author="nobody")), []),
        (Related("things.Member", Q(pk__in=[])), []),
        (Related("things.Member", Q(active=True)), [1, 2, 3]),
    ],
)
def test_a_condition_finds_its_rows(expression: Any, rows: list[int]) -> None:
    """The policy's text, and a filter, find the rows that Python does."""
    with tables(Team, Member, Page) as editor:
        owner = "owner"
        red, blue = (
            Team.objects.using(owner).create(title=title) for title in ("red", "blue")
        )
        for team, author in ((red, "ann"), (blue, "bob")):
            Member.objects.using(owner).create(team=team, author=author)
        for number, (team, author) in enumerate(
            ((red, "ann"), (None, "ann"), (blue, "cat")), 1
        ):
            Page.objects.using(owner).create(id=number, team=team, author=author)
        given = {"permissive": False, "to": ["PUBLIC"]}
        text = text_of(editor, Page, policy(expression, **given))

        assert true_of(editor, Page, text) == rows
        found = Page.objects.using(owner).filter(expression).order_by("id")
        assert list(found.values_list("id", flat=True)) == rows
        # The tables go before the triggers of their keys have run.
        editor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def resolved(expression: Any, model: Any = Page, **given: Any) -> Any:
    """Return a policy's expressions, looked up."""
    return policy(expression, **given).resolved(model)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        (Q(team__title="red"), r"Joined field.*joins no other.*Related\('app.Model'"),
        (Q(member__author="x"), "joins no other"),
        (Q(teams=1), "reads a column of another table.*Related"),
        (Q(author=F("team__title")), "joins no other"),
        (Q(missing=1), "Cannot resolve keyword 'missing'.*Choices are: author"),
        (Q(author=F("missing")), "Cannot resolve keyword 'missing'"),
        (Q(author=OuterRef("author")), r"OuterRef\('author'\) stands outside.*F\('a"),
        (
            Related("things.Member", Q(author=OuterRef(OuterRef("author")))),
            r"OuterRef\('author'\) stands outside",
        ),
        (
            Related("things.Member", Q(author=OuterRef("missing"))),
            "Cannot resolve keyword 'missing'",
        ),
        (
            Related("things.Member", Q(author=OuterRef("team__title"))),
            "joins no other",
        ),
        (
            Related("things.Member", Q(missing=1)),
            r"Related\('things.Member'\): Cannot resolve keyword 'missing'",
        ),
        (
            Related("things.Member", Q(author=F("author"))),
            r"the field 'author' with itself.*OuterRef\('author'\)",
        ),
        (Related("things.Nothing", Q(a=1)), r"no model 'things.Nothing'.*'things'"),
        (Related("nowhere.Nothing", Q(a=1)), "no model 'nowhere.Nothing'"),
        (F("author"), "non-conditional"),
    ],
)
def test_what_mixes_rows_up_is_refused(expression: Any, complaint: str) -> None:
    """A join, a loose reference and a comparison with itself are errors with advice."""
    with pytest.raises(
        ConfigurationError, match=rf"'page_p' on things.Page.*{complaint}"
    ):
        resolved(expression)


def test_a_policy_that_reads_its_own_table_to_read_it_is_refused() -> None:
    """What PostgreSQL would refuse as endless with each query is refused at once."""
    mine = Q(Related("things.Page", Q(pk=OuterRef("parent"), author=Claim("sub"))))
    deep = Q(Related("things.Team", Q(Related("things.Page", Q(author="x")))))
    joined = Q(Related("things.Member", Q(team__page__author=OuterRef("author"))))
    for expression in (mine, deep, joined):
        for command in ("ALL", "SELECT"):
            with pytest.raises(ConfigurationError, match="recursion"):
                resolved(expression, command=command)
        assert resolved(expression, command="UPDATE")
    assert resolved(Q(author=Claim("sub")), check=mine)


@pytest.mark.parametrize("table", ["u0", "U12", "v1"])
def test_a_table_called_like_an_alias_is_refused(table: str) -> None:
    """Where the policy's own row would be read for the other's nothing is compiled."""
    model = THINGS.model(
        f"Odd{table}", author=models.TextField(), options={"db_table": table}
    )
    with pytest.raises(ConfigurationError, match="called like the aliases"):
        resolved(Related("things.Member", Q(author=OuterRef("author"))), model)
    assert resolved(Q(author=Claim("sub")), model)


@pytest.mark.parametrize(
    ("model", "condition"), [("Member", MEMBER), (Member, MEMBER), ("a.B", {"a": 1})]
)
def test_a_name_and_a_condition_are_needed(model: Any, condition: Any) -> None:
    """What a migration could not write is refused where it is written."""
    with pytest.raises(ConfigurationError, match="Related"):
        Related(model, condition)


def test_it_shows_what_it_holds() -> None:
    """In a message it stands as it was written; it holds no expression of the row."""
    found = Related("things.Member", Q(active=True))

    assert repr(found) == "Related('things.Member', <Q: (AND: ('active', True))>)"
    found.set_source_expressions([F("author")])
    assert found.get_source_expressions() == []


def test_references_are_those_of_the_row() -> None:
    """Django's own check sees the fields that the policy needs, and no other's."""
    nested = Related(
        "things.Team",
        Q(Related("things.Member", Q(team=OuterRef("pk"), author="x")))
        & Q(Related("things.Member", Q(author=OuterRef(OuterRef("author"))))),
    )
    made = policy(Q(team__isnull=True) | Q(nested), check=Related("a.B", MEMBER))

    assert made._references(Page) == {("team", "isnull"), ("author",), ("team",)}
