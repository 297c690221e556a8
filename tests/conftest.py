"""Synthetic data folders that every test file shares."""

import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from src.networks import precision

pytest_plugins = ["trained_runs"]

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.register_profile("long", deadline=None)  # of tests/fuzz
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--bfloat16`: run as on a processor that multiplies bfloat16, or as on one that does not."""
    words = "as if the processor multiplied bfloat16, or did not, or the other of what it does (default: as it is); "
    words += "processes that tests start are not told: they name their precision"
    parser.addoption("--bfloat16", choices=("on", "off", "other"), help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Force what `precision: auto` finds, in this process and in those of --numprocesses, which get the option too."""
    config.option.loadscopereorder = False  # of pytest-xdist, which would begin with the files of most tests
    forced, detected = config.getoption("--bfloat16"), precision._multiplies_bf16
    if forced is not None:
        found = forced == "on" if forced != "other" else not detected(torch.device("cpu"))

        @functools.wraps(detected)  # which a test of the detection itself unwraps
        def multiplies_bf16(device: torch.device) -> bool:
            return found

        precision._multiplies_bf16 = multiplies_bf16


LONGEST = ("test_scripts", "test_distributed", "test_benchmarks", "test_report", "test_export", "test_recipe")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, so that no process of --numprocesses is left with one of them alone."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def pytest_report_header(config: pytest.Config) -> str:
    """Which number format `precision: auto` gives in this run."""
    found = precision.number_format(precision.compute_dtype("auto", torch.device("cpu")))
    return f"precision: auto is {found} on the CPU ({'forced' if config.getoption('--bfloat16') else 'as found'})"


@pytest.fixture(autouse=True)
def _no_log_of_an_earlier_script() -> None:
    """Scripts that ran in this process left handlers to streams and files that are closed by now."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler).__module__.partition(".")[0] != "_pytest":
            root.removeHandler(handler)
            handler.close()


DRAWING = ("test_figures", "test_scripts", "test_report", "test_compare", "test_answers")
"""The files whose tests have figures drawn."""


@pytest.fixture(autouse=True, scope="module")
def _figures_are_drawn_in_a_few_files(request: pytest.FixtureRequest) -> Iterator[None]:
    """They take most of a tiny training: those of the files above, of all kinds of runs, are enough."""
    with pytest.MonkeyPatch.context() as patch:
        if request.module.__name__.rpartition(".")[2] not in DRAWING:
            from undrawn import draw_nothing  # with matplotlib: a second of the process that only starts the others

            draw_nothing(patch)
        yield


REGION_NAMES = ("left_breast", "right_breast", "ROI")


class DMRFolder:
    """Writes a tiny folder in the database's layout, a file at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def frame(self, patient: str, visit: int = 1, view: int = 1, snap: bool = False, size: Any = (32, 40)) -> Path:
        """One frame of (rows, columns): gray, or coloured with `snap`. Its level tells the patient."""
        level = 40 + 7 * int(patient) % 200
        shape = (*size, 3) if snap else size
        pixels = np.full(shape, level, np.uint8)
        name = f"T{patient}.{visit}.{view}.S.2012-10-0{visit}.00{'_snap' if snap else ''}.jpg"
        path = self.root / patient / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=95)
        return path

    def description(self, patient: str, text: str) -> Path:
        """The description of a patient, as it stands in the file."""
        path = self.root / patient / "description.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def patient(self, patient: str, diagnosis: str | None, snap: bool = True) -> None:
        """A gray frame, its snapshot and the diagnosis."""
        self.frame(patient)
        if snap:
            self.frame(patient, snap=True)
        if diagnosis is not None:
            self.description(patient, f"<html><p>Diagnosis*: <span>{diagnosis}<br></span></p></html>")

    def regions(self, shapes: Mapping[str, list[tuple[int, Any]]], size: tuple[int, int] = (32, 40)) -> Path:
        """The COCO file: (category id, segmentation) by file name."""
        images, annotations = [], []
        for number, (name, found) in enumerate(shapes.items(), start=1):
            images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
            for category, segmentation in found:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": category,
                        "segmentation": segmentation,
                    }
                )
        categories = [{"id": number, "name": name} for number, name in enumerate(REGION_NAMES, start=1)]
        path = self.root / "52_instances_default.json"
        content = {"images": images, "annotations": annotations, "categories": categories}
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


@pytest.fixture
def dmr(tmp_path: Path) -> DMRFolder:
    """An empty data folder with its writer."""
    return DMRFolder(tmp_path / "DMR")


@pytest.fixture
def cohort(dmr: DMRFolder) -> DMRFolder:
    """Twenty patients, half of them sick, ten of them with regions; one without a diagnosis."""
    for number in range(1, 21):
        dmr.patient(f"{number:04d}", "Sick" if number % 2 else "Healthy")
    dmr.patient("0021", "Unknown")
    square = [[4, 4, 16, 4, 16, 16, 4, 16]]
    dmr.regions({f"T{number:04d}.1.1.S.2012-10-01.00.jpg": [(1, square)] for number in range(1, 11)})
    return dmr


@pytest.fixture
def write_yaml(tmp_path: Path) -> Callable[..., Path]:
    """Writes a settings file from lines of text."""

    def write(*lines: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom of twelve patients, written once; read it, never write to it."""
    from src.phantom.dataset import write_phantom

    folder = tmp_path_factory.mktemp("phantom") / "data"
    write_phantom(folder, 12, seed=3, annotated=0.6)
    return folder
