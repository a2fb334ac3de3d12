"""Read from the code itself: openings come from holders, and from nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import flwr_swarm

MAKERS = {
    "sum_of_shares": {"encryption/holding.py", "encryption/holder.py"},
    "held_share": {"encryption/holding.py"},
    "write_opening": {"encryption/holding.py", "encryption/wire.py"},
    "open_share": {"encryption/holding.py", "encryption/complaint.py", "encryption/envelope.py"},
}
"""What makes openings, or opens shares, and the modules that may name it."""


def names_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.alias, ast.FunctionDef)):
            yield node.name


def test_openings_come_from_holders_alone() -> None:
    root = Path(flwr_swarm.__file__).parent
    found: dict[str, set[str]] = {name: set() for name in MAKERS}
    for path in root.rglob("*.py"):
        for name in set(names_in(path)) & set(MAKERS):
            found[name].add(path.relative_to(root).as_posix())
    assert found == MAKERS
