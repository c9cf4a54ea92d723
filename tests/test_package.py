from __future__ import annotations

import ast
import hashlib
import importlib
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from jwtrole import install

ROOT = Path(__file__).parent.parent
PACKAGES = ("jwtrole", "sqlalchemy_jwtrole", "django_jwtrole")
ADAPTERS = {
    "sqlalchemy_jwtrole": {"alembic", "sqlalchemy"},
    "django_jwtrole": {"asgiref", "django"},
}
DRIVERS = {"asyncpg", "psycopg", "psycopg2"}
FOREIGN = {*DRIVERS, *ADAPTERS, *(lib for libs in ADAPTERS.values() for lib in libs)}

#: The released SQL files. A line of these never changes: databases out there have
#: recorded the hash, and a change is a new file, hence a new line.
RELEASED = {
    "claims_1.sql": (
        "bd058e0ffc9469b8c9cc1e70e9387ee04de59aa2693905b12d16091c06417a16"
    ),
    "claims_1_down.sql": (
        "a4cd28b891bc984f8d3a9cc712a68d7f8bd00b79dd67c0ebc359ac006653ecfa"
    ),
    "gate_1.sql": ("2cb5591d047599e5941876855c980a9725a383b93e2ec76d15756668022c320b"),
    "gate_1_down.sql": (
        "d1ea1db371201cdb24f9149b6297704c91e59fb9c777df3074a09805c4695703"
    ),
    "seal_1.sql": ("eb59de203aa148f3f26121af736542ac16f2b741775a18621be3b95790d1d91d"),
    "seal_1_down.sql": (
        "0c3db666e931bc3349d1dc331e839e278e9fe03bf4fd3a5fef6e6c84a56e5387"
    ),
    "seal_2.sql": ("91b249e0ca1982dd80ae4768be274ce73a6468bba71eebbc9608971fa5982cd6"),
    "seal_2_down.sql": (
        "c07b093b3b7a0770c160ac1fcd86d9a78c4f52f42d3b37258ee6cc42e8558bc5"
    ),
    "trust_1.sql": ("c05614a8bcdf99e54c5c9c2b43f55da222a73f92be3b2090a381ad702e15f828"),
    "trust_1_down.sql": (
        "d72fad589d731ff76051d977d85e04129e9a168395d48a0b7b5b47c052f9038d"
    ),
    "verify_1.sql": (
        "79a7d510384b2ba047931b0895cf7ba9edb688097cbf0b55da259cda05e1b50c"
    ),
    "verify_1_down.sql": (
        "416ceb42f04ce6357ca1fbb111814f699f1134c3f6236d6f88dafd624cd02e4a"
    ),
}


def sources(package: str) -> list[Path]:
    """Return the Python files of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def shown(path: Path) -> str:
    """Return how a file is named in the tests' ids."""
    return path.relative_to(ROOT).as_posix()


ALL_SOURCES = [path for package in PACKAGES for path in sources(package)]
CORE = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sources("jwtrole")
    if path.stem != "__main__"
]


def parsed(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def exported(tree: ast.Module) -> list[str] | None:
    """Return ``__all__`` of a file, or ``None``."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            [target] = node.targets
            if isinstance(target, ast.Name) and target.id == "__all__":
                names: list[str] = ast.literal_eval(node.value)
                return names
    return None


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}: a relative import"
            found.add((node.module or "").partition(".")[0])
    return found


def loaded_by(*statements: str) -> set[str]:
    """Return the top-level modules in a fresh interpreter after some statements."""
    code = "\n".join(
        [*statements, "import json, sys", "print(json.dumps(sorted(sys.modules)))"]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def order(name: str) -> tuple[int, str]:
    """Return the key of a sorted ``__all__``: constants, classes, the rest."""
    if name.isupper():
        return 0, name
    return (1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("package", PACKAGES)
def test_a_packages_all_is_sorted_and_complete(package: str) -> None:
    """Whatever a package's facade holds is in its ``__all__``, and nothing else."""
    facade = importlib.import_module(package)
    public = {
        name
        for name, value in vars(facade).items()
        if not name.startswith("_")
        and name != "annotations"
        and not isinstance(value, ModuleType)
    }

    assert sorted(public, key=order) == list(facade.__all__)


@pytest.mark.parametrize("path", ALL_SOURCES, ids=shown)
def test_a_modules_all_is_sorted_and_complete(path: Path) -> None:
    """Each public function and class of a module is in ``__all__``, which is sorted."""
    tree = parsed(path)
    names = exported(tree)
    public = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    }
    if names is None:
        # Where the host reads fixed names: Command, Migration, a package's __init__.
        assert public <= {"Command", "Migration"}
    else:
        assert names == sorted(set(names), key=order)
        assert public <= set(names)


def test_the_core_loads_no_orm_framework_or_driver() -> None:
    """``import jwtrole`` costs nobody an ORM, a framework, a driver or pytest."""
    loaded = loaded_by("import jwtrole")

    assert {"jwt", "jwtrole"} <= loaded
    assert loaded & {*FOREIGN, "pytest"} == set()


def test_only_drivers_load_drivers_and_only_the_plugin_pytest() -> None:
    """The rest of the core loads neither: command line, middleware, testing."""
    rest = [
        f"import {name}"
        for name in CORE
        if not name.startswith("jwtrole.drivers.") and name != "jwtrole.pytest_plugin"
    ]

    assert loaded_by(*rest) & {*FOREIGN, "pytest"} == set()
    assert len(rest) > 15


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_never_imports_the_other(adapter: str) -> None:
    """Neither an adapter's source nor its import knows the other's world."""
    [other] = set(ADAPTERS) - {adapter}
    foreign = {other, *ADAPTERS[other]}

    assert {shown(p) for p in sources(adapter) if imported(p) & foreign} == set()
    assert loaded_by(f"import {adapter}") & foreign == set()


def test_the_core_imports_no_adapter() -> None:
    """No file of the core names an ORM, a framework or an adapter in an import."""
    foreign = FOREIGN - DRIVERS

    assert {shown(p) for p in sources("jwtrole") if imported(p) & foreign} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_types_are_published(package: str) -> None:
    """Type checkers read the annotations of each package (PEP 561)."""
    assert (ROOT / package / "py.typed").read_bytes() == b""


def test_a_released_file_is_never_edited() -> None:
    """Each SQL file is, to the byte, the one that was released."""
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (ROOT / "jwtrole" / "sql").iterdir()
    }

    assert found == RELEASED
    for release in install._RELEASES.values():
        for part in release.parts:
            assert {f"{part}.sql", f"{part}_down.sql"} <= RELEASED.keys()
    assert install.release(1).sha256 == RELEASED["claims_1.sql"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of these sources, built by the declared backend."""
    target = tmp_path_factory.mktemp("dist")
    # The backend looks for its program on the path (PEP 517 runs it in an environment
    # that is active).
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"import uv_build; uv_build.build_wheel({str(target)!r})",
        ],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PATH": path},
    )
    [found] = target.glob("*.whl")
    return found


def test_the_wheel_holds_the_three_packages_whole(wheel: Path) -> None:
    """Modules, SQL files and type markers are in the wheel, and no test is."""
    expected = {
        shown(path)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with zipfile.ZipFile(wheel) as archive:
        names = {
            name
            for name in archive.namelist()
            if ".dist-info/" not in name and not name.endswith("/")
        }
        sql = archive.read("jwtrole/sql/claims_1.sql")

    assert names == expected
    assert hashlib.sha256(sql).hexdigest() == RELEASED["claims_1.sql"]


def test_the_wheel_needs_pyjwt_alone(wheel: Path) -> None:
    """Whoever installs the core gets one dependency; the rest are extras."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        [scripts] = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        metadata = archive.read(name).decode()
        entries = archive.read(scripts).decode()
    required = [
        line
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]

    assert required == ["Requires-Dist: pyjwt[crypto]>=2.12"]
    assert "License-Expression: MIT" in metadata
    # No entry point loads anything into somebody else's pytest or Alembic.
    assert entries.split() == ["[console_scripts]", "jwtrole", "=", "jwtrole.cli:main"]
