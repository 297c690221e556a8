"""What the documents tell people to write is run from the documents themselves."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.datasets import DATASETS
from src.datasets.build import build_diagnoses
from src.settings import REPOSITORY, ClassificationSettings
from src.settings.file import load


def blocks(document: str, section: str, language: str) -> list[str]:
    """The code of a section of a Markdown file."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", found, re.MULTILINE | re.DOTALL)


def test_dataset_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    module, registry = blocks("data/README.md", "A dataset of your own", "python")
    (settings,) = blocks("data/README.md", "A dataset of your own", "yaml")
    assert len(module[module.index("class ") :].splitlines()) <= 30
    assert len(registry.splitlines()) == 1
    namespace: dict[str, object] = {"__name__": "src.datasets.clinic"}
    exec(compile(module, "clinic.py", "exec"), namespace)
    line = eval("{" + registry + "}", namespace)
    monkeypatch.setitem(DATASETS, *next(iter(line.items())))

    folder = tmp_path / "clinic"
    folder.mkdir()
    words = {f"P{number:02d}": "sick" if number % 2 else "healthy" for number in range(1, 13)} | {"P13": "unsure"}
    (folder / "labels.csv").write_text("".join(f"{who},{word}\n" for who, word in words.items()), encoding="utf-8")
    for number, who in enumerate(words):
        for frame in (1, 2):
            Image.fromarray(np.full((48, 64), 10 * number, np.uint8)).save(folder / f"{who}-{frame}.jpg")
    (tmp_path / "run.yaml").write_text(settings, encoding="utf-8")
    found = load(tmp_path / "run.yaml", [f"dataset_path={folder}", f"output_root={tmp_path}", "image_size=[48, 64]"])
    assert isinstance(found, ClassificationSettings)
    parts = build_diagnoses(found)
    datasets = (parts.train, parts.validation, parts.test)
    patients = [patient for dataset in datasets for patient in dataset.patients]
    assert sorted(patients) == sorted(2 * [who for who in words if who != "P13"])
    for dataset in datasets:
        expected = [int(words[patient] == "sick") for patient in dataset.patients]
        assert dataset.labels == expected
        assert dataset.everything()["frame"].shape[1:] == (1, 48, 64)
    assert "patients whose label is 'unsure': 1" in caplog.text


def test_prediction_from_python(make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("docs/predictions.md", "From Python", "python")
    assert len(code.split("\n\n", 1)[1].splitlines()) + 1 == 3  # the formatter sets the import apart
    array = np.random.default_rng(0).uniform(22, 36, (60, 90))
    namespace = {"run": make_run(), "array": array}
    exec(compile(code, "predictions.md", "exec"), namespace)
    assert namespace["result"].labels.shape == array.shape
    assert "left_breast" in capsys.readouterr().out


def test_pages_made_from_the_code_are_as_the_code_is() -> None:
    spec = importlib.util.spec_from_file_location("generate", REPOSITORY / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    again = "run `python docs/generate.py`"
    assert (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8") == generate.settings_page(), again
    assert (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8") == generate.design_page(), again


PAGES = [
    path
    for pattern in ("*.md", "docs/*.md", "data/*.md", "benchmarks/*.md", "model/*/*.md")
    for path in sorted(REPOSITORY.glob(pattern))
]


@pytest.mark.parametrize("page", [path.relative_to(REPOSITORY) for path in PAGES], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link of a page to a file is one that is there, and so is every file that it names in code."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith(("http", "mailto")):
            assert (REPOSITORY / page.parent / target).exists(), target
    for named in re.findall(
        r"`((?:src|model|docs|benchmarks|tests|config|data)/[\w/.-]+\.(?:py|md|yaml|jinja))`", text
    ):
        assert (REPOSITORY / named).exists() or "clinic" in named, named


def test_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").split()) <= 1000
