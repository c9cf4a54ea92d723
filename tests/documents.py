"""Run a Markdown document: write its files, run its commands and its Python.

Sybil finds the blocks; what a block is for stands in its kind and its first line:

- ``python`` with ``# path/name.py`` on top is a file of the document's directory;
  ``# path/name.py, at the end`` adds to one;
- any other ``python`` runs here, one namespace for the document;
- ``console`` runs each line after ``$`` in the directory and compares its output,
  ``...`` standing for anything; ``pip`` is looked up, not run; a server is started,
  waited for, and ended with the document;
- ``sql`` must be what has been sent or shown so far;
- ``toml`` and ``ini`` must parse; ``{directive}`` is Sphinx's, which builds it.

A block of any other kind fails: nothing in the documentation goes unchecked.
"""

from __future__ import annotations

import ast
import asyncio
import configparser
import inspect
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sybil import Sybil
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from tests.prompts import (
    ROOT,
    DocumentedFailure,
    check_sessions,
    commands,
    look_up,
    matches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sybil import Document, Example, Region

#: Directives that a build of the documentation runs, and nothing else can.
DIRECTIVES = {"{toctree}", "{eval-rst}", "{literalinclude}"}

_FILE = re.compile(r"# (?P<path>[\w/]+\.py)(?P<end>, at the end)?\n")
_MODULE = "documented"
_PORT = "8000"
_SERVERS = ("python manage.py runserver", "python serve.py")


def documents() -> list[Path]:
    """Return every Markdown file that users read."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in found if "_build" not in path.parts)


def parse(path: Path) -> Document:
    """Return a document, each of its fenced blocks an example."""
    return Sybil([_fences]).parse(path)


def kind(example: Example) -> str:
    """Return the first word after the fence, empty where nothing stands there."""
    words = example.region.lexemes["kind"].split()
    return words[0] if words else ""


def _fences(document: Document) -> Iterable[Region]:
    lexer = RawFencedCodeBlockLexer(re.compile(r"(?P<kind>[^\n]*)\n"))
    for region in lexer(document):
        region.parsed = region.lexemes["source"]
        region.evaluator = lambda _: None
        yield region


class Reader:
    """Do what a document says, as somebody who reads it from top to bottom.

    Args:
        directory: Where its files go and its commands run.
        names: What its Python finds defined.
        instead: What is written in the text, and what stands for it here.
        environment: What its commands and its Python find in the environment.
    """

    def __init__(
        self,
        directory: Path,
        names: dict[str, Any],
        instead: dict[str, str],
        environment: dict[str, str],
    ) -> None:
        self.directory = directory
        # A module, for SQLAlchemy looks up the names of annotations in one.
        self._module = sys.modules[_MODULE] = ModuleType(_MODULE)
        self.names = vars(self._module)
        self.names.update(names)
        self.instead = {**instead, _PORT: str(_free_port())}
        # What runs us says nothing to what the document runs.
        ours = ("PYTEST_", "DJANGO_", "COV_", "COVERAGE_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.environment = {
            **inherited,
            **environment,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_ADDOPTS": "-p no:asyncio",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error,ignore::ResourceWarning,ignore:XDG_RUNTIME_DIR",
        }
        #: Returns what has been sent to the server so far.
        self.sent: Callable[[], Iterable[str]] = list
        self._shown: set[str] = set()
        self._servers: list[subprocess.Popen[bytes]] = []

    def read(self, path: Path) -> int:
        """Do everything a document says and return how many blocks it has.

        Raises:
            DocumentedFailure: A block does not do what the document says.
        """
        blocks = list(parse(path))
        for block in blocks:
            try:
                self._do(block, path)
            except Exception as error:
                where = f"{path.name}:{block.line}"
                raise DocumentedFailure(f"{where}: {error}") from error
        return len(blocks)

    def _do(self, example: Example, path: Path) -> None:
        what = kind(example)
        if what in DIRECTIVES:
            return
        kinds: dict[str, Callable[[str], None]] = {
            "console": self._console,
            "ini": configparser.ConfigParser().read_string,
            "sql": self._sql,
            "toml": lambda text: tomllib.loads(text) and None,
        }
        text = example.parsed
        if what == "python":
            self._python(text, path, example.line)
        elif what in kinds:
            kinds[what](text)
        else:
            raise DocumentedFailure(f"a block of unknown kind {what!r}")

    def _here(self, text: str) -> str:
        for written, actual in self.instead.items():
            text = text.replace(written, actual)
        return text

    # Python and files

    def _python(self, text: str, path: Path, line: int) -> None:
        text = self._here(text)
        if match := _FILE.match(text):
            self._write(self.directory / match["path"], text, add=bool(match["end"]))
            return
        # Line numbers of a traceback are those of the document.
        code = compile("\n" * line + text, path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        before, known = os.environ.copy(), set(sys.modules)
        os.environ.update(self.environment)
        # What the document has written can be imported, as where it is read.
        sys.path.insert(0, str(self.directory))
        try:
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, self.names))
            else:
                exec(code, self.names)
        finally:
            sys.path.remove(str(self.directory))
            for name in set(sys.modules) - known:
                file = getattr(sys.modules[name], "__file__", None) or ""
                if Path(file).is_relative_to(self.directory):
                    del sys.modules[name]
            os.environ.clear()
            os.environ.update(before)

    @staticmethod
    def _write(file: Path, text: str, *, add: bool) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        if add:
            text = f"{file.read_text()}\n{text}"
        compile(text, file, "exec")
        file.write_text(text)

    # Commands

    def _console(self, text: str) -> None:
        for command, expected in commands(text):
            if command.startswith("python -m pip install"):
                look_up(command)
            elif command.startswith("python -m nox"):
                check_sessions(command)
            elif command.startswith(_SERVERS):
                self._serve(self._here(command))
            else:
                self.run(self._here(command), self._here(expected))

    def run(self, command: str, expected: str = "") -> None:
        """Run a command in the directory and compare what it says, if given.

        Raises:
            DocumentedFailure: It fails, or says something else.
        """
        after = self.directory / ".environment"
        script = f"{command}\nstatus=$?; env -0 > {after}; exit $status"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.directory, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise DocumentedFailure(f"$ {command}\n{done.stdout}")
        if expected and not matches(expected, done.stdout):
            raise DocumentedFailure(
                f"$ {command}\nshould say:\n{expected}\nbut says:\n{done.stdout}"
            )
        self._shown |= statements(done.stdout)
        pairs = after.read_text().rstrip("\0").split("\0")
        self.environment = dict(pair.split("=", 1) for pair in pairs)

    def _serve(self, command: str) -> None:
        log = self.directory / "server.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.directory,
                env=self.environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._servers.append(server)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(self.instead[_PORT]))) == 0:
                    return
            if server.poll() is not None:
                break
            time.sleep(0.1)
        raise DocumentedFailure(f"$ {command}\n{log.read_text()}")

    def close(self) -> None:
        """End the servers that the document started, and forget its names."""
        del sys.modules[_MODULE]
        for server in self._servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(10)

    # SQL

    def _sql(self, text: str) -> None:
        known = self._shown | {one_line(statement) for statement in self.sent()}
        for statement in sorted(statements(text) - known):
            listed = "\n".join(sorted(known))
            raise DocumentedFailure(f"never sent: {statement}\nbut:\n{listed}")


def statements(text: str) -> set[str]:
    """Return the statements of a text, comments left out, each on one line."""
    lines = (line.split("-- ")[0] for line in text.splitlines())
    parts = re.split(r";\s*$", "\n".join(lines), flags=re.MULTILINE)
    return {one_line(part) for part in parts if part.strip()}


def one_line(statement: str) -> str:
    """Return a statement with each run of white space as one blank."""
    text = re.sub(r"\s+", " ", statement.strip().removesuffix(";"))
    return text.replace("( ", "(").replace(" )", ")")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
