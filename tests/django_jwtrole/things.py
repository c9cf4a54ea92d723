"""Models of tests alone, in a registry of their own, and their tables."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.apps.registry import Apps
from django.db import connections, models
from django.db.migrations.state import AppConfigStub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_jwtrole import Policy


class Things:
    """Be models of an app that no project has installed."""

    def __init__(self, *labels: str) -> None:
        self.apps = Apps([AppConfigStub(label) for label in ("things", *labels)])

    def model(self, name: str, /, app_label: str = "things", **fields: Any) -> Any:
        """Return a model with fields; ``options`` are those of its ``Meta``."""
        given = {"app_label": app_label, "apps": self.apps, **fields.pop("options", {})}
        meta = type("Meta", (), given)
        found = {"__module__": __name__, "Meta": meta, **fields}
        return type(name, (models.Model,), found)


@contextlib.contextmanager
def tables(*made: Any) -> Iterator[Any]:
    """Make the tables of models as the owner; give its schema editor."""
    with connections["owner"].schema_editor() as editor:
        for model in made:
            editor.create_model(model)
        yield editor


def text_of(editor: Any, model: Any, policy: Policy, clause: str = "polqual") -> str:
    """Make a policy and return PostgreSQL's text of one of its clauses."""
    editor.add_constraint(model, policy)
    with editor.connection.cursor() as cursor:
        # How PostgreSQL spells it depends on settings as well.
        cursor.execute("RESET ALL")
        cursor.execute(
            f"SELECT pg_get_expr({clause}, polrelid) FROM pg_policy WHERE polname = %s",
            [policy.name],
        )
        return str(cursor.fetchone()[0])


def true_of(editor: Any, model: Any, text: str) -> list[int]:
    """Return the rows for which a text of PostgreSQL's is true."""
    with editor.connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {model._meta.db_table} WHERE {text} ORDER BY id"
        )
        return [row[0] for row in cursor.fetchall()]
