"""The example applications run, and notice when isolation breaks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = ROOT / "docs/examples/demo"


def run(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, warnings being errors, and return how it ended."""
    ours = ("PYTEST_", "DJANGO_", "COV_", "COVERAGE_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder, env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def places() -> Iterator[Path]:
    """Return the folder in which the demo makes its temporary ones."""
    # Not tmp_path: a socket's path is limited.
    place = Path(tempfile.mkdtemp(prefix="jwtrole-"))
    yield place
    shutil.rmtree(place)


def test_the_demo_shows_both_orms_and_leaves_nothing_behind(places: Path) -> None:
    """It ends well within 20 seconds, fits 100 columns, and cleans up after itself."""
    started = time.monotonic()

    done = run(ROOT, str(DEMO / "run.py"), TMPDIR=str(places))

    assert done.returncode == 0, done.stdout
    assert time.monotonic() - started < 20
    for shown in ("through Django", "through SQLAlchemy", "All of it was checked"):
        assert shown in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "\x1b" not in done.stdout
    assert list(places.iterdir()) == []


def test_the_demo_fails_when_a_tenant_sees_anothers_rows(places: Path) -> None:
    """What it shows it also checks: without row security it says what is wrong."""
    copy = places / "demo"
    shutil.copytree(DEMO, copy, ignore=shutil.ignore_patterns("__pycache__"))
    program = copy / "database.py"
    hole = (
        "        with psycopg.connect(self._superuser, dbname=NAME) as c:\n"
        "            c.execute('ALTER TABLE shop_invoice DISABLE ROW LEVEL SECURITY')\n"
    )
    text = program.read_text()
    place = (
        "        with psycopg.connect(self._superuser, dbname=NAME) as connection:\n"
    )
    assert place in text
    program.write_text(text.replace(place, hole + place))

    done = run(copy, "run.py", TMPDIR=str(places))

    assert done.returncode == 1, done.stdout
    assert re.search(r"ada through Django: sees is .*blue-1", done.stdout)
    assert re.search(r"ada through SQLAlchemy: sees is .*blue-1", done.stdout)


CHANGES = """
import django
django.setup()
from django.apps import apps
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

loader = MigrationLoader(None)
detector = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps))
print([str(m.operations) for m in detector.changes(loader.graph).get("shop", [])])
"""


def test_the_demos_migrations_are_those_of_its_models() -> None:
    """To what is committed makemigrations would have nothing to add."""
    done = run(DEMO, "-c", CHANGES, DJANGO_SETTINGS_MODULE="settings")

    assert done.stdout == "[]\n"
