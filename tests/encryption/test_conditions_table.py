"""SECURITY.md's conditions and the tests that lift them are the same, one to one, by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HEADER = "| condition | otherwise | kept by | test |"


def rows() -> list[tuple[str, str]]:
    """(condition, tests) of each row of the table."""
    lines = (ROOT / "SECURITY.md").read_text().splitlines()
    start = lines.index(HEADER) + 2
    found = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        condition, _, _, tests = (cell.strip() for cell in line.strip("|").split(" | "))
        found.append((condition, tests))
    return found


def named_after(condition: str) -> str:
    return "test_" + "_".join(re.findall(r"[a-z0-9]+", condition.replace("'", "").lower()))


def functions_in(path: Path) -> list[str]:
    functions = (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef))
    return [f.name for f in functions if f.name.startswith("test_")]


def test_each_condition_has_the_test_that_is_named_after_it() -> None:
    conditions = [named_after(condition) for condition, _ in rows()]
    assert len(conditions) > 7
    assert conditions == functions_in(HERE / "test_conditions.py")


def test_each_row_names_its_test() -> None:
    for condition, tests in rows():
        assert f"`{named_after(condition)}`" in tests


def test_every_test_that_security_names_is_there() -> None:
    """All of SECURITY.md: functions anywhere in the tests, and files where it says."""
    text = (ROOT / "SECURITY.md").read_text()
    files = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("contracts/**/test_*.py")]
    functions = {
        node.name
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    names = {path.name for path in files} | {path.relative_to(ROOT).as_posix() for path in files}
    for said in re.findall(r"`((?:tests/[\w/]*)?test_\w+(?:\.py)?)`", text):
        assert said in (names if said.endswith(".py") else functions), said
    for folder in re.findall(r"`(tests/[\w/]+)`", text):
        assert (ROOT / folder).is_dir(), folder
