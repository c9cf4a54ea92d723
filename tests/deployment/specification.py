"""The behaviour specification, for modules that run it somewhere else."""

from __future__ import annotations

from typing import Any

from tests.behaviour import test_rows, test_transactions

#: Each test by its name.
TESTS: dict[str, Any] = {
    name: test
    for module in (test_rows, test_transactions)
    for name, test in vars(module).items()
    if name.startswith("test_")
}
