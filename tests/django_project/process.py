"""The project as a user runs it: real processes against a database of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests import postgres

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Project:
    """Be the project on one database.

    Args:
        server: Where the database is.
        database: Its name.
        trust: Who verifies the tokens.
    """

    server: postgres.Server
    database: str
    trust: str = "application"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process of the project."""
        host, port = self.server.address
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.django_project.settings",
            "DJANGO_DATABASE": self.database,
            "DJANGO_TRUST": self.trust,
            "DJANGO_HOST": host,
            "DJANGO_PORT": str(port),
            "DJANGO_SUPERUSER_PASSWORD": "for tests",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``manage.py``."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.django_project.manage", *arguments],
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def manage(self, *arguments: str, fails: bool = False) -> str:
        """Run ``manage.py`` and return what it said."""
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=120)
        assert bool(process.returncode) is fails, output
        return output
