"""Imports run down only: which part of the software may know which."""

import ast
from pathlib import Path

import pytest

from src.settings import REPOSITORY

BASE = {"classes", "settings", "cli", "errors", "files", "places", "encoder", "patches", "losses", "model"}
FLOORS: dict[str, set[str]] = {
    "settings": set(),
    "datasets": set(),
    "evaluation": {"datasets"},
    "networks": {"datasets"},
    "training": {"networks", "evaluation", "datasets"},
    "prediction": {"training", "networks", "evaluation", "datasets"},
    "protocols": {"training", "networks", "evaluation", "datasets"},
    "importing": {"datasets"},
    "phantom": {"prediction", "training", "networks", "evaluation", "datasets"},
    "audit": {"evaluation", "datasets"},
    "report": {"evaluation"},
}
EXCEPTIONS = {("datasets/prepare.py", "importing")}  # the command of the parts below and of importing


def parts_known(file: Path) -> set[str]:
    """Names below `src` (or `model`) that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == "src":
            names = [f"src.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            found |= {rest.partition(".")[0]} if first == "src" and rest else {first} if first == "model" else set()
    return found


@pytest.mark.parametrize("part", sorted(FLOORS))
def test_a_part_imports_from_below_alone(part: str) -> None:
    folder = REPOSITORY / "src" / part
    for file in sorted(folder.rglob("*.py")):
        where = file.relative_to(REPOSITORY / "src").as_posix()
        above = parts_known(file) - BASE - FLOORS[part] - {part}
        assert not {name for name in above if (where, name) not in EXCEPTIONS}, where


def test_every_part_has_a_floor() -> None:
    parts = {file.parent.name for file in (REPOSITORY / "src").glob("*/__init__.py")}
    assert parts == set(FLOORS)
