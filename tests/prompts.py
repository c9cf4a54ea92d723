"""What stands after a prompt in the documentation, and what it should say."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent


class DocumentedFailure(AssertionError):
    """Say which block of which document is not true."""


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command after ``$`` and the output that follows it.

    Raises:
        DocumentedFailure: The text begins with something else.
    """
    joined = text.replace("\\\n", " ")
    if not joined.startswith("$ "):
        raise DocumentedFailure("a console block begins with '$ '")
    for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield re.sub(r"\s+", " ", command).strip(), expected.strip()


def matches(expected: str, output: str) -> bool:
    """Tell whether an output is as documented, ``...`` standing for anything."""

    def tidy(text: str) -> str:
        return "\n".join(line.strip() for line in text.strip().splitlines())

    pattern = re.escape(tidy(expected)).replace(r"\.\.\.", "(?s:.*)")
    return re.fullmatch(pattern, tidy(output)) is not None


def look_up(command: str) -> None:
    """Check that what pip is told to install is what runs here, extras included."""
    command, _, then = command.removeprefix("python -m pip install").partition("&&")
    if then:
        check_sessions(then.strip())
    words = [word for word in command.split() if word != '"nox[uv]"']
    for word in words:
        requirement = Requirement(word.strip("\"'"))
        if requirement.name == "jwtrole":
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            missing = requirement.extras - set(project["optional-dependencies"])
            if missing:
                raise DocumentedFailure(f"jwtrole has no extra {missing}")
        else:
            metadata.version(requirement.name)


def check_sessions(command: str) -> None:
    """Check that nox is told to run sessions that the noxfile has."""
    words = shlex.split(command)
    if words[:3] != ["python", "-m", "nox"]:
        raise DocumentedFailure(f"{command!r} is not how nox is run")
    text = (ROOT / "noxfile.py").read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    sessions = {function.name for function in functions if function.decorator_list}
    if "-s" in words:
        name, _, row = words[words.index("-s") + 1].partition("(")
        if name not in sessions or (row and f'"{row.removesuffix(")")}"' not in text):
            raise DocumentedFailure(f"the noxfile has no session {name!r}")
