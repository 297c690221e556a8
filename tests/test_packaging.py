"""One list of packages, which conda and pip both read, and the Python that `make` takes."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from src.settings import REPOSITORY

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\d[\w.]*)$")


def lines(name: str) -> list[str]:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_every_runtime_package_is_pinned_once() -> None:
    found = [PIN.match(line) for line in lines("requirements.txt")]
    assert all(found)
    names = [match[1].lower() for match in found if match]
    assert len(names) == len(set(names))


def test_torch_and_torchvision_belong_together() -> None:
    assert {"torch==2.14.1", "torchvision==0.29.1"} <= set(lines("requirements.txt"))


def test_development_packages_build_on_the_runtime_ones() -> None:
    first, *others = lines("requirements-dev.txt")
    assert first == "-r requirements.txt"
    assert all(PIN.match(line) for line in others)


def test_conda_brings_python_and_pip_and_nothing_else() -> None:
    environment = yaml.safe_load((REPOSITORY / "environment.yaml").read_text(encoding="utf-8"))
    assert environment["name"] == "llft"
    python, pip, packages = environment["dependencies"]
    assert re.fullmatch(r"python=3\.\d+", python)
    assert pip == "pip"
    assert packages == {"pip": ["-r requirements-dev.txt", "-e ."]}


def test_pyproject_reads_the_same_list() -> None:
    content = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert "dependencies" not in content["project"]
    assert content["project"]["dynamic"] == ["dependencies"]
    assert content["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}
    extras = content["project"]["optional-dependencies"]
    assert {pin for pins in extras.values() for pin in pins} <= set(lines("requirements-dev.txt"))


FITS, OLD, SHIM = "exit 0", "exit 1", "echo 'command not found: no version is chosen' >&2; exit 127"


@pytest.mark.parametrize(
    ("there", "asked", "taken"),
    [
        ({"python3.11": FITS, "python3.12": FITS}, "", "python3.11"),
        ({"python3.11": SHIM, "python3.12": FITS, "python3": FITS}, "", "python3.12"),
        ({"python3.14": FITS, "python3": OLD}, "", "python3.14"),
        ({"python3": FITS}, "", "python3"),
        ({"python3.11": FITS}, "other", "other"),
    ],
)
def test_make_takes_the_first_python_that_will_do(
    tmp_path: Path, there: dict[str, str], asked: str, taken: str
) -> None:
    done = _dry_run(tmp_path, there, *([f"PYTHON={asked}"] if asked else []))
    (line,) = [line for line in done.stdout.splitlines() if line.endswith("-m venv .venv")]
    assert Path(line.split()[0]).name == taken


def test_make_says_what_is_missing_where_no_python_will_do(tmp_path: Path) -> None:
    done = _dry_run(tmp_path, {"python3.12": SHIM, "python3": OLD}, really=True)
    assert done.returncode != 0
    message = done.stderr.splitlines()[0]
    for words in ("no Python from 3.11 on", "venv", "python3.11 python3.12 python3.13 python3.14 python3", "PYTHON="):
        assert words in message


def _dry_run(
    folder: Path, there: dict[str, str], *arguments: str, really: bool = False
) -> subprocess.CompletedProcess[str]:
    """`make install` where these commands alone are found, in an empty folder; says only what it would do."""
    commands = folder / "bin"
    commands.mkdir()
    for name, script in there.items():
        (commands / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (commands / name).chmod(0o755)
    for name in ("make", "sh", "which"):
        (commands / name).symlink_to(shutil.which(name) or name)
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(REPOSITORY / name, folder)
    command = [str(commands / "make"), *([] if really else ["--dry-run"]), "install", *arguments]
    return subprocess.run(command, cwd=folder, env={"PATH": str(commands)}, capture_output=True, text=True, timeout=60)
