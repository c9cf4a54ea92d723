"""Everything CI runs, and the demo. Plain ``nox`` is the whole suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.reuse_existing_virtualenvs = True
# A newcomer has one Python: what is missing is skipped there and required in CI.
nox.options.error_on_missing_interpreters = bool(os.environ.get("CI"))
nox.options.sessions = ["lint", "layers", "typing", "tests", "docs", "package"]

PROJECT = nox.project.load_toml("pyproject.toml")
PACKAGES = ("jwtrole", "sqlalchemy_jwtrole", "django_jwtrole")
EXTRAS = ".[alembic,asyncpg,django,psycopg,sqlalchemy]"
POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"

# The diagonal: every version of everything at least once, not every combination.
# name -> Python, requirements, PostgreSQL's programs (the embedded server without)
LOWEST = "lowest"
DIAGONAL: dict[str, tuple[str, list[str], Path | None]] = {
    LOWEST: ("3.11", [], None),
    "py311": ("3.11", ["django~=5.2.0", "sqlalchemy~=2.0.0"], POSTGRES_15),
    "py312": ("3.12", ["django~=6.0.0", "sqlalchemy~=2.1.0"], None),
    "py313": ("3.13", ["django~=6.1.0", "sqlalchemy~=2.1.0"], None),
}


def answers(python: str) -> bool:
    """Say whether an interpreter is here; a shim that leads nowhere is none."""
    program = shutil.which(f"python{python}")
    if program is None:
        return False
    return (
        subprocess.run([program, "-V"], check=False, capture_output=True).returncode
        == 0
    )


if not any(answers(python) for python, _, _ in DIAGONAL.values()):
    DIAGONAL["here"] = (HERE, [], None)
# On one row everything runs, and coverage is measured: on the newest there is.
WHOLE = ["here", *(row for row, (python, *_) in DIAGONAL.items() if answers(python))][
    -1
]
# What depends on PostgreSQL alone runs once for each, the documentation once; the core
# on the oldest Python and on the newest.
ONCE = ("benchmarks", "test_docs.py")
OFTEN = ("attacks", "database", "deployment", *ONCE)
LEFT_OUT = {"py311": ONCE, "py312": ("jwtrole", *OFTEN), LOWEST: OFTEN}


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports go downward only."""
    session.install("-e", EXTRAS, *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types, ours and those that users see."""
    session.install(
        "-e", EXTRAS, *nox.project.dependency_groups(PROJECT, "tests", "typing")
    )
    session.run("mypy")
    for package in PACKAGES:
        session.run("pyright", "--verifytypes", package, "--ignoreexternal")


@nox.session
@nox.parametrize(
    "python,row", [(row[0], name) for name, row in DIAGONAL.items()], ids=list(DIAGONAL)
)
def tests(session: nox.Session, row: str) -> None:
    """Run the tests on one row of the diagonal; what follows ``--`` goes to pytest."""
    _, pins, binaries = DIAGONAL[row]
    requirements = nox.project.dependency_groups(PROJECT, "tests")
    lowest = ["--resolution", "lowest-direct"] if row == LOWEST else []
    session.install(*lowest, "-e", EXTRAS, *requirements, *pins)
    arguments = ["-n", "2", *session.posargs]
    if binaries and binaries.is_dir() and "--dsn" not in session.posargs:
        arguments.append(f"--postgres={binaries}")
    if row != WHOLE and not session.posargs:
        arguments += [f"--ignore=tests/{name}" for name in LEFT_OUT[row]]
    # Not in create_tmp(): projects that tests make there would be inside this one.
    session.env["COVERAGE_FILE"] = str(Path(session.virtualenv.location) / "coverage")
    if row != WHOLE:
        session.run("python", "-m", "pytest", *arguments)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *arguments)
    session.run("coverage", "combine")
    session.run("coverage", "report")
    if not session.posargs:
        session.run("coverage", "report", "--include=jwtrole/*", "--fail-under=100")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install("-e", EXTRAS, *nox.project.dependency_groups(PROJECT, "docs"))
    target = session.posargs[0] if session.posargs else "docs/_build/html"
    session.run("sphinx-build", "-n", "-W", "-b", "html", "docs", target)


@nox.session
def package(session: nox.Session) -> None:
    """Build the distribution and use the wheel alone, away from the sources."""
    session.install("uv", *nox.project.dependency_groups(PROJECT, "package"))
    target = Path(session.create_tmp()) / "dist"
    shutil.rmtree(target, ignore_errors=True)
    session.run("uv", "build", "--out-dir", str(target))
    wheel = str(next(target.glob("*.whl")).resolve())
    # Three packages on the top level, and a migration's number, are meant to be.
    session.run("check-wheel-contents", "--ignore", "W004,W009", wheel)
    session.run("validate-pyproject", "pyproject.toml")
    session.install("--reinstall-package", "jwtrole", wheel)
    with session.chdir(session.create_tmp()):
        session.run("python", "-P", "-m", "jwtrole", "sql", silent=True)


@nox.session
def demo(session: nox.Session) -> None:
    """Show two tenants reading one table through both ORMs."""
    session.install("-e", EXTRAS, *nox.project.dependency_groups(PROJECT, "demo"))
    session.run("python", "docs/examples/demo/run.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what it all costs; what follows ``--`` goes to the benchmark."""
    session.install("-e", EXTRAS, *nox.project.dependency_groups(PROJECT, "demo"))
    session.run("python", "-m", "tests.benchmarks", *session.posargs)
