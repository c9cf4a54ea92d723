"""A policy that reads another app's model, through makemigrations and migrate."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.django_project.process import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests import postgres

SETTINGS = """
from tests.django_project.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "pages", "teams"]
"""
TEAMS = """
from django.db import models

class Member(models.Model):
    team = models.UUIDField()
    who = models.TextField()
"""
PAGES = """
from django.db import models
from django.db.models import OuterRef, Q
from django_jwtrole import Claim, Policy, Related
from django_jwtrole.models import RowSecurityMixin

class Author(models.Model):
    who = models.TextField()

class Page(RowSecurityMixin):
    team = models.UUIDField()

    class Meta:
        constraints = [
            Policy(
                name="page_member",
                using=Q(
                    Related("teams.Member", Q(team=OuterRef("team"), who=Claim("sub")))
                ) | Q(Related("pages.Zone", Q(team=OuterRef("team")))),
                to=["member"],
            )
        ]

class Zone(models.Model):
    team = models.UUIDField()
"""
LOOPS = TEAMS.replace(
    "who =",
    "page = models.ForeignKey('pages.Page', models.CASCADE, db_constraint=False)\n"
    "    who =",
)


@dataclass(frozen=True)
class Apps(Project):
    """Be a project with two more apps.

    Args:
        place: Where they are.
    """

    place: Path = Path()

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process of the project."""
        found = super().environment
        path = f"{self.place}:{found['PYTHONPATH']}"
        settings = "pages_settings"
        return {
            **found, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": settings,
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self.place / name).parent.mkdir(exist_ok=True)
        (self.place / name).write_text(text)

    def written(self, name: str) -> str:
        """Return what is in a file."""
        return (self.place / name).read_text()


@pytest.fixture
def project(server: postgres.Server, tmp_path: Path) -> Iterator[Apps]:
    """Return the project on an empty database."""
    name = f"pages_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    found = Apps(server, name, place=tmp_path)
    found.write("pages_settings.py", SETTINGS)
    for label, models in (("pages", PAGES), ("teams", TEAMS)):
        found.write(f"{label}/__init__.py", "")
        found.write(f"{label}/models.py", models)
    yield found
    server.drop_database(name)


def test_a_model_of_another_app_is_a_dependency(project: Apps) -> None:
    """What a policy reads is there before it, whatever the apps are called."""
    project.manage("makemigrations", "pages", "teams")
    first = project.written("pages/migrations/0001_initial.py")
    project.manage("migrate")

    assert "('teams', '0001_initial')" in first
    assert "No changes detected" in project.manage("makemigrations", "--check")
    project.manage("migrate", "pages", "zero")
    project.manage("migrate", "pages")
    with project.server.connect("postgres", project.database) as admin:
        rows = admin.execute(
            "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy"
            " WHERE polrelid = 'pages_page'::regclass"
        ).fetchall()
    assert ["teams_member" in text and "pages_zone" in text for (text,) in rows] == [
        True
    ]


def test_a_later_policy_depends_on_what_is_there(project: Apps) -> None:
    """An app whose migrations are written already is depended on as well; once."""
    bare = re.sub(r"    class Meta:.*?\n\n(?=class Zone)", "\n", PAGES, flags=re.DOTALL)
    project.write("pages/models.py", bare)
    project.manage("makemigrations", "pages", "teams")
    project.write("pages/models.py", PAGES)
    project.manage("makemigrations", "pages", "--name", "policy")
    second = project.written("pages/migrations/0002_policy.py")

    assert second.count("('teams', '0001_initial')") == 1
    assert "No changes detected" in project.manage("makemigrations", "--check")


def test_a_dependency_that_is_missing_is_named(project: Apps) -> None:
    """A migration that was written without it is an error with what to add."""
    project.manage("makemigrations", "pages", "teams")
    name = "pages/migrations/0001_initial.py"
    whole = project.written(name)
    project.write(name, whole.replace("('teams', '0001_initial'),", ""))

    for command in ("check", "migrate", "makemigrations"):
        said = project.manage(command, fails=True)
        assert "jwtrole.E021" in said
        assert "add ('teams', '0001_initial') to its dependencies" in said

    project.write(name, whole.replace("'0001_initial')", "'__first__')"))
    project.manage("migrate")


def test_models_that_need_each_other_are_told_apart(project: Apps) -> None:
    """Where each app's first migration would need the other's nothing is written."""
    project.write("teams/models.py", LOOPS)
    said = project.manage("makemigrations", "pages", "teams", fails=True)

    assert "reads teams.Member" in said
    assert "run makemigrations again" in said
    assert not (project.place / "pages/migrations/0001_initial.py").exists()

    project.write(
        "pages/models.py", PAGES.replace("using=Q(", "using=Q() if 1 else Q(")
    )
    project.manage("makemigrations", "pages", "teams")
    project.write("pages/models.py", PAGES)
    project.manage("makemigrations", "pages", "--name", "policy")
    project.manage("migrate")
    assert "No changes detected" in project.manage("makemigrations", "--check")


BOTH = """
from django.db import models
from django.db.models import OuterRef, Q
from django_jwtrole import Claim, Policy, Related
from django_jwtrole.models import RowSecurityMixin

READS = Related("pages.Zone", Q(team=OuterRef("team"), who=Claim("sub")))

class Area(RowSecurityMixin):
    team = models.UUIDField()

    class Meta:
        constraints = [Policy(name="area_zone", using=Q(READS), to=["member"])]

class Zone(RowSecurityMixin):
    team = models.UUIDField()
    who = models.TextField()

    class Meta:
        constraints = [Policy(name="zone", using=Q(who=Claim("sub")), to=["member"])]
"""


def test_a_model_that_is_created_later_can_be_read(project: Apps) -> None:
    """Within a migration the order of the tables does not matter, both ways."""
    project.write("pages/models.py", BOTH)
    project.manage("makemigrations", "pages")
    name = "pages/migrations/0001_initial.py"
    written = project.written(name)
    assert written.index("name='Area'") < written.index("area_zone")
    assert written.index("area_zone") < written.index("name='Zone'")

    for target in ("0001", "zero", "0001"):
        project.manage("migrate", "pages", target)
    assert "area_zone" in project.manage("sqlmigrate", "pages", "0001")
    assert "No changes detected" in project.manage("makemigrations", "--check")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (
            PAGES.replace('who=Claim("sub")', 'whom="x"'),
            "Cannot resolve keyword 'whom'",
        ),
        (PAGES.replace("teams.Member", "teams.Nobody"), "no model 'teams.Nobody'"),
        (PAGES.replace('"page_member"', "64 * 'n'"), "has 64 bytes"),
        (PAGES.replace("using=Q(", "using=Q(id__lt=len, pk=1) | Q("), "anew"),
    ],
)
def test_a_policy_that_cannot_work_is_not_written(
    project: Apps, models: str, said: str
) -> None:
    """The command stops at it, in every Django, and writes no file."""
    project.write("pages/models.py", models)
    output = project.manage("makemigrations", "pages", "teams", fails=True)

    assert "jwtrole.E020" in output
    assert "on pages.Page" in output
    assert said in output
    assert not (project.place / "pages/migrations").exists()
