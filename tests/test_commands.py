"""Every command of README.md, data/README.md and docs/, run in a fresh copy of the repository on a small phantom.

`python -m pytest -m slow tests/test_commands.py`. Trainings get sizes that take seconds; nothing else is changed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_scripts import TINY_DECODER, TINY_ENCODER

from src.phantom.dataset import write_phantom
from src.settings import REPOSITORY

PAGES = ["README.md", "data/README.md", *(f"docs/{name}.md" for name in ("training", "predictions", "evaluation"))]
PAGES += ["docs/diagnosis.md", "docs/design.md", "CONTRIBUTING.md"]
ELSEWHERE = ("make ", "python -m pip ", "python -m pytest ", "python tests/soak.py", "python /where/")
"""Done by CI, or by the other tests that are slow."""
RUNS = "recommended_runs"
PLACES = {"FOLDER": "frames", "SOURCE": "source", "RUN": f"{RUNS}/dmr_runs_seg_h_enc_h_dec", "OUT": "out"}
PLACES |= {"DIR": "data/phantom"}
"""What the pages' capitals stand for here."""


def commands(page: str) -> list[str]:
    """The commands of a page, in its order, without the alternatives and options that are in brackets."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    found = []
    for block, inline in re.findall(r"```\w*\n(.*?)```|`([^`]+)`", text, re.DOTALL):
        lines = re.sub(r"\\\n\s*", " ", block).splitlines() or [" ".join(inline.split())]
        found += [line.partition("  #")[0].strip() for line in lines]
    plain = (re.sub(r"\s*\[[^\]=]*(=[^\]]*)?\](?=\s|$)|(\s--\w+)?\s\.\.\.|\|\w+(\|\w+)*", "", line) for line in found)
    return [line for line in plain if re.match(r"(python|make) ", line)]


ALL = [(page, line) for page in PAGES for line in dict.fromkeys(commands(page)) if not line.startswith(ELSEWHERE)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the repository holds, with a phantom as its database, and frames and files of one's own."""
    root = tmp_path_factory.mktemp("clone") / "repository"
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, root / name)
    write_phantom(root / "data" / "phantom", patients=16, seed=3, frames=1, annotated=1.0)
    for name in ("DMR", "clinic"):
        shutil.copytree(root / "data" / "phantom", root / "data" / name, dirs_exist_ok=True)
    phantom = root / "data" / "phantom"
    for folder, pattern in (
        ("frames", "000[1-3]/*.00.jpg"),
        ("source/healthy", "000[1-3]/*.txt"),
        ("source/sick", "000[4-6]/*.txt"),
    ):
        (root / folder).mkdir(parents=True)
        for path in phantom.glob(pattern):
            shutil.copy(path, root / folder)
    shutil.copytree(root / "source", root / "numbered")
    for number, path in enumerate(sorted((root / "numbered").rglob("*.txt"))):
        path.rename(path.with_name(f"{number}-1.txt"))
    sick = [path.stem for path in (root / "source" / "sick").iterdir()]
    (root / "diagnoses.csv").write_text("ID,Diagnosis\n" + "".join(f"{name},Sick\n" for name in sick))
    shutil.copytree(root / "config", root / "config" / "clinic")
    subprocess.run(
        [sys.executable, "main_seg.py", "--cfg-path", "config/recommended", "--set", *TINY_DECODER], cwd=root
    )
    return root


def made_small(line: str, number: str) -> list[str]:
    """The command's words, in a size that takes seconds, its output in a place of its own."""
    words = [PLACES.get(word, word) for word in shlex.split(line)]
    if "prepare import" in line:
        words = [word.replace("data/DMR", f"data/imported_{number}") for word in words]
        return [word.replace("source", "numbered") for word in words] if "--patient-from" in line else words
    if "summary" in line:
        return [*words[:-1], RUNS]
    if "src.phantom" in line:
        words = [f"out_{number}" if word == "out" else word for word in words]
        return [*words, "--patients", "4", "--seed", "1"]
    if "benchmarks.tumours" in line:
        return [*words, "--patients", "20", "--known", "20"]
    if "predict" in line:
        return [*words, "--output", f"predictions_{number}"]
    if "accuracy" in line:
        return ["python", "-m", "benchmarks.accuracy", "trainings", "--quick"]
    if "main_" in line:
        small = TINY_ENCODER if "main_latent" in line else TINY_DECODER
        words += ["--overwrite", "--set", *small]
        if "kfold" in line and "recommended" not in line:
            words += ["--encoder-set", *(each for each in TINY_ENCODER if not each.startswith("precision"))]
    return words


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_does_what_it_says(page: str, clone: Path) -> None:
    for number, line in enumerate(line for where, line in ALL if where == page):
        if "other_runs" in line:  # somebody's runs of other settings
            shutil.copytree(clone / RUNS, clone / "other_runs", dirs_exist_ok=True)
        words = [sys.executable, *made_small(line, f"{page.replace('/', '_')}_{number}")[1:]]
        done = subprocess.run(words, cwd=clone, capture_output=True, text=True, timeout=1800, env=os.environ)
        assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"


def test_pages_have_commands_and_no_capitals_that_stand_for_nothing() -> None:
    assert len(ALL) > 25
    left = {word for _, line in ALL for word in shlex.split(line) if re.fullmatch(r"[A-Z]{2,}", word)} - PLACES.keys()
    assert not left
