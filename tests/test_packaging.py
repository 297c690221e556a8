"""One list of packages: requirements.txt, which conda and pip both read."""

import re
import tomllib

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
    assert packages == {"pip": ["-r requirements.txt"]}


def test_pyproject_reads_the_same_list() -> None:
    content = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert "dependencies" not in content["project"]
    assert content["project"]["dynamic"] == ["dependencies"]
    assert content["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}
    extras = content["project"]["optional-dependencies"]
    assert {pin for pins in extras.values() for pin in pins} <= set(lines("requirements-dev.txt"))
