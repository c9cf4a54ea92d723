"""Build the documentation: ``sphinx-build -n -W docs docs/_build/html``."""

from __future__ import annotations

import logging
import sys
import tomllib
import warnings
from pathlib import Path

import django
from django.conf import settings
from pygments.lexers.sql import PostgresLexer
from sphinx.highlighting import lexers

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

# The reference is read out of the modules, and Django's need a project to import.
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django_jwtrole"],
    DATABASES={
        alias: {"ENGINE": "django_jwtrole.postgresql", "NAME": "docs"}
        for alias in ("default", "owner")
    },
    JWTROLE={
        "OWNER": "owner",
        "ISSUERS": [
            {"issuer": "docs", "audience": "docs", "secret": "docs" * 16}
            | {"algorithms": ["HS256"]}
        ],
        "ROLES": ["member"],
    },
)
django.setup()

# Reading a mixin of SQLAlchemy's outside a mapped class, and Alembic being imported,
# are nothing to say while building.
warnings.filterwarnings("ignore", "Unmanaged access of declarative attribute")
logging.getLogger("alembic").setLevel(logging.WARNING)

project = "jwtrole"
author = "The jwtrole maintainers"
copyright = author  # noqa: A001  Sphinx reads this name
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "version"
]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
]
exclude_patterns = ["_build", "examples"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Plain SQL has no $1.
lexers["sql"] = PostgresLexer()

html_theme = "furo"
html_title = f"{project} {version}"

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
python_use_unqualified_type_names = True

# Aliases and variables of types stand in signatures by their bare names.
nitpick_ignore = [
    ("py:class", name)
    for name in (
        "ASGIApp", "Async", "Attachable", "Connection", "Engine", "Expression", "Key",
        "MetaData", "Model", "Q", "RoleCallable", "Sync", "T", "TypeEngine", "WSGIApp",
        "models.Field", "sqlalchemy_jwtrole.expressions.Claim",
        "sqlalchemy_jwtrole.expressions.T",
    )
]  # fmt: skip
# No other project's index is fetched while building, so that names of other projects
# cannot be linked. They are left out here by package; every name of our own must be
# found.
nitpick_ignore_regex = [
    (r"py:.*", rf"({package})\..*")
    for package in (
        "alembic", "asgiref", "asyncpg", "collections", "cryptography", "datetime",
        "django", "enum", "psycopg", "pytest", "sqlalchemy", "types", "typing", "uuid",
    )
]  # fmt: skip
