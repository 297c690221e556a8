"""What a person takes from a prediction: the page says what the tables say, series are followed, the notebook runs."""

import csv
import json
import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_scripts import run_here

import src
from src.classes import Classes
from src.datasets.letterbox import letterbox
from src.datasets.source import Skipped
from src.errors import Stopped, UserError
from src.evaluation.region_colours import region_colour
from src.prediction.identity import Identity, identities, in_order
from src.prediction.inputs import Thermogram
from src.prediction.output import Collected, write_all
from src.prediction.predictors import Classification, Feature, Segmentation
from src.prediction.run import predict_files
from src.prediction.series import Answer, Course, carried, rates
from src.prediction.trained import Outputs, Trained
from src.settings import REPOSITORY
from src.training.run_folder import RunFolder

MakeRun = Callable[..., Path]
NAMES = ("left_breast", "right_breast", "left_nipple", "right_nipple", "ROI")
ROWS, COLUMNS = 60, 80


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def segmentation(name: str, warmer_left: float = 0.0, split: bool = False) -> Segmentation:
    """Two breasts with a nipple each, in degrees; the right nipple is in two pieces if `split`."""
    labels = np.full((ROWS, COLUMNS), 4, np.uint8)
    labels[20:45, 12:36], labels[20:45, 44:68] = 0, 1
    labels[33:37, 20:24], labels[33:37, 56:60] = 2, 3
    if split:
        labels[24:28, 48:52] = 3
    values = np.random.default_rng(len(name)).normal(31, 0.4, labels.shape).astype(np.float32)
    values[:, : COLUMNS // 2] += np.float32(warmer_left)
    thermogram = Thermogram(PurePath(name), PurePath(f"{name}.txt"), values, "C")
    return Segmentation(
        thermogram, None, None, labels, (0.9, 0.8, 0.7, 0.6, 0.99), Classes(NAMES, 4), (0.95, 0.9, 0.8, 0.75, 1)
    )


def written(run: Path, out: Path, results: Sequence[Segmentation | Classification]) -> Path:
    """The folder of a prediction that had these results."""
    load = src.load_segmenter if isinstance(results[0], Segmentation) else src.load_classifier
    collected = Collected(load(run, "cpu"))
    known = identities(result.thermogram.name for result in results)
    for result in results:
        collected.add(result, known[result.thermogram.name], PurePosixPath(result.thermogram.name))
    write_all(out, Path("given"), collected, Skipped())
    return out


class Cards(HTMLParser):
    """The cells of each card's table, with what is struck out, and its warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.cards: dict[str, list[list[str]]] = {}
        self.struck: dict[str, list[str]] = {}
        self.warned: dict[str, list[str]] = {}
        self.facts: dict[str, str] = {}
        self.sorted_by: dict[str, dict[str, str | None]] = {}
        """What the script of the page sorts and filters by."""
        self._name, self._open = "", [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "article":
            self._name = given["data-name"] or ""
            self.cards[self._name], self.struck[self._name], self.warned[self._name] = [], [], []
            self.sorted_by[self._name] = given
        if self._name and tag == "tr":
            self.cards[self._name].append([])
        if self._name and tag in ("td", "th"):
            self.cards[self._name][-1].append("")
        self._open.append(f"{tag}.{given.get('class') or ''}")

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()
        self._name = "" if tag == "main" else self._name

    def handle_data(self, data: str) -> None:
        inside = self._open[-1].partition(".")[0]
        if self._name and inside in ("td", "th", "del"):
            self.cards[self._name][-1][-1] += data.replace("\N{MINUS SIGN}", "-")
        if self._name and inside == "del":
            self.struck[self._name].append(data.replace("\N{MINUS SIGN}", "-"))
        if self._name and self._open[-1] == "p.fact":
            self.facts[self._name] = data
        if self._name and self._open[-1] == "p.warning":
            self.warned[self._name].append(data)


def test_the_page_says_what_the_tables_say(make_run: MakeRun, tmp_path: Path) -> None:
    out = written(make_run(), tmp_path / "out", [segmentation("a<b", 0.7), segmentation("b", -0.2, split=True)])
    page = Cards()
    text = (out / "index.html").read_text(encoding="utf-8")
    page.feed(re.sub(r"<(img|meta|input)\b[^>]*>", "", text))
    regions, differences = rows_of(out / "regions.csv"), rows_of(out / "differences.csv")
    for name, (_, *lines) in page.cards.items():
        own = [row for row in regions if row["frame"] == name]
        by_pair = {row["pair"]: row for row in differences if row["frame"] == name}
        assert len(lines) == len(own) == 4
        for cells, row in zip(lines, own, strict=True):
            side, _, pair = row["region"].partition("_")
            difference = [f"{float(by_pair[pair]['mean']):+.2f}"] if side == "left" else []
            measured = [f"{float(row[name]):.2f}" for name in ("mean", "maximum")]
            sure = [f"{100 * float(row['share']):.1f}", row["pieces"]]
            sure += [f"{float(row[name]):.2f}" for name in ("probability", "agreement")]
            assert cells == [row["region"].replace("_", " "), *measured, *difference, *sure]
        assert page.struck[name] == [f"{float(row['mean']):+.2f}" for row in by_pair.values() if row["warnings"]]
        sure = {row["pair"]: float(row["mean"]) for row in by_pair.values() if not row["warnings"]}
        assert json.loads(page.sorted_by[name]["data-differences"] or "") == pytest.approx(sure, abs=1e-4)
        assert page.sorted_by[name]["data-agreement"] == f"{min(float(row['agreement']) for row in own):g}"
        doubts = [f"{row['region'].replace('_', ' ')}: {row['warnings']}" for row in own if row["warnings"]]
        assert [words.removeprefix("⚠ ") for words in page.warned[name]] == doubts
    assert page.warned == {"a<b": [], "b": ["⚠ right nipple: in two pieces"]}
    assert [len(struck) for struck in page.struck.values()] == [0, 1]
    assert text.count("Left is left in the picture") == 1
    assert text.count("Agreement (agree.) says") == text.count("Confidence (conf.) is") == 1
    assert all(f'href="{path.name}"' in text for path in out.iterdir() if path.suffix in (".csv", ".txt"))


def test_the_page_of_a_diagnosis_says_what_the_tables_say(make_run: MakeRun, tmp_path: Path) -> None:
    def diagnosed(name: str, probability: float) -> Classification:
        features = (Feature("excess", 0.118, -0.2), Feature("evidence_other_breast", -1.26, 0.75))
        thermogram = segmentation(name).thermogram
        found = Classification(thermogram, None, None, probability, 1 - probability, 0.5, features)
        return replace(found, excess=np.zeros(thermogram.size, np.float32))

    out = written(make_run("classification"), tmp_path / "out", [diagnosed("a", 0.7251), diagnosed("b", 0.4999)])
    page = Cards()
    page.feed(re.sub(r"<(img|meta|input)\b[^>]*>", "", (out / "index.html").read_text(encoding="utf-8")))
    assert len(page.cards) == 2
    for row in rows_of(out / "frames.csv"):
        name, words = row["frame"], {"yes": "reaches", "no": "is below"}[row["reaches_threshold"]]
        expected = "Probability of sick {probability:.{digits}f} " + words + " the threshold {threshold:.{digits}f}"
        numbers = {key: float(row[key]) for key in ("probability", "threshold", "calibrated_probability")}
        shown = expected.format(digits=4 if name == "b" else 3, **numbers)  # as many as tell the two apart
        assert page.facts[name] == f"{shown}; calibrated {numbers['calibrated_probability']:.3f}"
        assert float(page.sorted_by[name]["data-probability"] or "") == numbers["probability"]
        own = [each for each in rows_of(out / "features.csv") if each["frame"] == name]
        own.sort(key=lambda each: -abs(float(each["share"])))
        lines = [
            [each["feature"].replace("_", " "), *(f"{float(each[key]):.2f}" for key in ("value", "share"))]
            for each in own
        ]
        assert [[cell.removeprefix("+") for cell in cells] for cells in page.cards[name][1:]] == lines


def test_each_column_is_explained_and_the_legend_is_that_of_the_labels(make_run: MakeRun, tmp_path: Path) -> None:
    series = [segmentation(f"T0003.1.1.D.2020-01-31.{number:02d}") for number in range(3)]
    out = written(make_run(), tmp_path / "out", series)
    explained = set(re.findall(r"[a-z_]+", (out / "README.txt").read_text(encoding="utf-8")))
    tables = {path.name: rows_of(path) for path in out.glob("*.csv")}
    assert len(tables) == 6
    assert {name for rows in tables.values() for name in rows[0]} <= explained
    row = tables["regions.csv"][-1]
    facts = ("patient", "visit", "view", "date", "frame_number", "series")
    assert [row[name] for name in facts] == ["3", "1", "1", "2020-01-31", "2", "T0003.1.1.D.2020-01-31"]
    # Scripts cut the first columns by number.
    first = "frame region area mean median maximum sd unit probability agreement pieces share warnings"
    assert list(row)[:13] == first.split()
    legend = [tuple(row.values()) for row in tables["legend.csv"]]
    assert legend == [("0", "ROI", "#000000"), *((str(i + 1), NAMES[i], region_colour(i, NAMES[i])) for i in range(4))]
    coco = json.loads((out / "regions.coco.json").read_text(encoding="utf-8"))
    assert {each["id"]: each["name"] for each in coco["categories"] if each["name"] != "ROI"} == {
        int(value): name for value, name, _ in legend[1:]
    }


def test_a_series_is_followed_in_tables_and_on_the_page(make_run: MakeRun, tmp_path: Path) -> None:
    course = [0.0, -0.3, -0.6, -0.5, -0.4, -0.3]
    results = [segmentation(f"T0003.1.1.D.2020-01-31.{n:02d}", up, split=n == 4) for n, up in enumerate(course)]
    out = written(make_run(), tmp_path / "out", [*results, segmentation("T0004.1.1.D.2020-01-31.00")])
    rows = [row for row in rows_of(out / "series.csv") if row["region"] == "left_breast"]
    assert [int(row["frame_number"]) for row in rows] == list(range(6))
    found = {row["region"]: row for row in rows_of(out / "rates.csv")}
    assert found.keys() == set(NAMES[:4])
    left = found["left_breast"]
    assert (left["coldest"], left["frames"], left["unit"]) == ("2", "6", "C a frame")
    assert float(left["cooling"]) == pytest.approx(-0.3, abs=1e-4)  # the same noise in all frames
    for name in ("rewarming", "rewarming_difference"):  # the split nipple takes a little off the right breast
        assert float(left[name]) == pytest.approx(0.1, abs=1e-3)
    assert (found["right_nipple"]["frames"], found["left_nipple"]["frames"]) == ("5", "6")
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 2  # breast and nipple
    assert "rewarming from frame 2 on" in page
    table = page[page.index('class="rates"') : page.index("Frames</h2>")].replace("\N{MINUS SIGN}", "-")
    shown = [re.findall("<t[hd]>(.*?)</t[hd]>", line) for line in re.findall("<tr>(.*?)</tr>", table)]
    signed = [[cell.replace("0.000", "+0.000") for cell in cells] for cells in shown]
    for name in ("breast", "nipple"):
        pair = found[f"left_{name}"], found[f"right_{name}"]
        for kind in ("cooling", "rewarming"):
            slopes = [*(row[kind] for row in pair), pair[0][f"{kind}_difference"]]
            # What rounds to nothing has no sign.
            assert [name, *(f"{float(slope) if abs(float(slope)) >= 5e-4 else 0:+.3f}" for slope in slopes)] in signed


def test_rates_of_regions_that_are_missing_in_frames() -> None:
    numbers = (1, 2, 3, 4, 6)
    courses = [
        Course("left_breast", numbers, (30.0, None, 30.2, 30.3, 30.5)),
        Course("right_breast", numbers, (30.0, 30.2, 30.4, 30.6, 31.0)),
        Course("neck", numbers, (None, None, 33.0, 33.0, None)),
        Course("left_nipple", numbers, (None,) * 5),
    ]
    left, right, neck, nipple = rates(courses, "C")
    assert (left.coldest, left.cooling, left.frames) == (1, None, 4)
    assert (left.rewarming, right.rewarming) == (pytest.approx(0.1), pytest.approx(0.2))
    assert left.rewarming_difference == right.rewarming_difference == pytest.approx(-0.1)
    assert (neck.rewarming, neck.rewarming_difference, nipple.frames) == (None, None, 0)


def test_regions_are_carried_along_within_a_series_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    thermogram = segmentation("a").thermogram

    def answer(series: str, rows: int = 6) -> Answer:
        logits = torch.randn(3, 4, 5, generator=generator)
        return Answer(thermogram, series, Outputs(logits, letterbox((rows, 10), (4, 5)), None))

    given = [answer("a"), answer("a"), answer("a"), answer("b"), answer(""), answer(""), answer("c"), answer("c", 9)]
    means = [{0, 1}, {0, 1, 2}, {1, 2}, {3}, {4}, {5}, {6}, {7}]
    found = list(carried(iter(given)))
    assert len(found) == len(given)
    for each, places in zip(found, means, strict=True):
        expected = sum(given[place].outputs.logits.softmax(0) for place in places) / len(places)
        torch.testing.assert_close(each.outputs.logits.softmax(0), expected)
    assert all(found[place] is given[place] for place in range(3, 8))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0012/T0012.2.1.D.2013-05-06.07", Identity("12", 2, 1, "2013-05-06", 7)),
        ("T0012.1.3.S.0000-00-00.00", Identity("12", 1, 3, None, 0)),
        ("T0023", Identity("23")),
        ("x/PAC_31_DN4", Identity("PAC31", frame_number=4)),
        ("IR_0007", Identity()),
    ],
)
def test_what_a_name_tells(name: str, expected: Identity) -> None:
    assert identities([PurePath(name)]) == {PurePath(name): expected}


def test_series_go_by_their_numbers_and_all_else_by_name() -> None:
    names = ["b", "PAC_1_DN10", "PAC_1_DN2", "PAC_1_DN1", "a", "PAC_2_DN2", "PAC_2_DN10", "z"]
    found = identities(map(PurePath, names))
    assert {each.series for each in found.values()} == {"", "PAC_1_DN"}  # of two frames there is no series
    order = [str(name) for name in in_order(found)]
    assert order == ["PAC_1_DN1", "PAC_1_DN2", "PAC_1_DN10", "PAC_2_DN10", "PAC_2_DN2", "a", "b", "z"]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Twenty gray pictures."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


def test_an_interruption_leaves_what_is_done(
    make_run: MakeRun, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out, call = make_run("segmentation", "gray", "gray"), tmp_path / "out", Trained.__call__
    batches: list[object] = []

    def interrupted(self: Trained, batch: object) -> object:
        batches.append(batch)
        if len(batches) == last:
            os.kill(os.getpid(), signal.SIGINT)
        return call(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Trained, "__call__", interrupted)
    monkeypatch.setattr(Trained, "at_once", 2)
    last = 2
    with pytest.raises(Stopped, match=r"\d+ of 20 frame") as end:
        predict_files(run, "segmentation", frames, out, "cpu")
    assert (end.value.number, end.value.is_whole) == (signal.SIGINT, True)
    done = 2 * len(batches)  # those at hand are finished
    assert 4 <= done < 20
    assert [row["frame"] for row in rows_of(out / "frames.csv")] == [f"{number:02d}" for number in range(done)]
    assert len(list((out / "labels").iterdir())) == done
    assert "INTERRUPTED: there were 20" in (out / "index.html").read_text(encoding="utf-8")
    batches, last, whole = [], 10, tmp_path / "whole"  # while the last frames are being done, nothing is left out
    with pytest.raises(Stopped, match="20 of 20 frame"):
        predict_files(run, "segmentation", frames, whole, "cpu")
    assert len(rows_of(whole / "frames.csv")) == 20
    assert "INTERRUPTED" not in (whole / "index.html").read_text(encoding="utf-8")


def test_a_run_is_named_by_its_folder(
    make_run: MakeRun, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("segmentation", "gray", "gray")
    monkeypatch.chdir(tmp_path)
    places = ["--mode", "predict", "--device", "cpu", "--input", "frames", "--run", run.name]
    run_here("main_seg.py", *places)
    record = json.loads((run / "predictions" / "frames" / "prediction.json").read_text(encoding="utf-8"))
    assert record["run"] == run.name
    with pytest.raises(SystemExit):
        run_here("main_seg.py", *places[:-1], ".")
    assert f"name one of them: {run.name}" in capsys.readouterr().err
    (tmp_path / "within").mkdir()
    monkeypatch.chdir(tmp_path / "within")
    with pytest.raises(SystemExit):
        run_here("main_seg.py", *places[:-3], "../frames", "--run", "..")
    assert f"name one of them: ../{run.name}" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run_here("main_seg.py", *places, "--gray_encoder")
    assert "--run: says by itself which run is meant" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_here("main_binary.py", *places)
    assert "a run of segmentation" in capsys.readouterr().err


def test_an_unfinished_run_says_what_it_uses(
    make_run: MakeRun, frames: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunFolder(make_run("segmentation", "gray", "gray"))
    run.last.touch()
    with caplog.at_level("WARNING", "src.prediction.run"):  # the script's own handlers are set anew
        src.prediction.run.logger.addHandler(caplog.handler)
        predict_files(run.root, "segmentation", frames, tmp_path / "out", "cpu")
        src.prediction.run.logger.removeHandler(caplog.handler)
    assert "its best epoch until now answers, number 3" in caplog.text
    run.prediction.unlink()
    with pytest.raises(UserError, match=r"has not ended: go on with it \(python main_seg.py --mode train --resume\)"):
        predict_files(run.root, "segmentation", frames, tmp_path / "again", "cpu")


def run_notebook() -> dict[str, Any]:
    """What the notebook's names stand for after all of its cells ran in the current folder."""
    notebook = json.loads((REPOSITORY / "docs" / "analysis.ipynb").read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {}
    for cell in notebook["cells"]:
        assert cell.get("outputs", []) == []
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "analysis.ipynb", "exec"), namespace)
    return namespace


def test_the_notebook_goes_from_the_folder_to_groups_and_figures(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    sick = {str(number): number % 2 == 1 for number in range(1, 9)}
    results = [
        segmentation(
            f"T{number:>04}.1.1.D.2020-01-31.{frame:02d}", (0.9 if ill else 0.1) + 0.01 * frame, split=frame == 1
        )
        for number, ill in sick.items()
        for frame in range(4)
    ]
    out = written(make_run(), Path("predictions/mine"), results)
    lines = [f"{number:>04},{'sick' if ill else 'healthy'}\n" for number, ill in sick.items()]
    Path("groups.csv").write_text("patient,group\n" + "".join(lines), encoding="utf-8")
    namespace = run_notebook()
    assert namespace["result"]["auc"] == 1
    assert namespace["asymmetry"].keys() == sick.keys()
    assert (out / "groups.png").stat().st_size > 1000
    assert (out / "courses.png").stat().st_size > 1000
    assert namespace["rewarming"].keys() == namespace["courses"].keys()


@pytest.mark.parametrize(
    ("names", "groups", "known", "said"),
    [
        (("T0001.1.1.D.2020-01-31.00", "T0002.1.1.D.2020-01-31.00"), None, {"all": 2}, "groups.csv is not there"),
        (
            ("T0001.1.1.D.2020-01-31.00", "T0002.1.1.D.2020-01-31.00"),
            "1,healthy\n2,healthy",
            {"healthy": 2},
            "of: healthy",
        ),
        (("IR_1", "IR_2"), None, {}, "of: none"),  # names that tell no patient
    ],
)
def test_the_notebook_draws_what_it_can_where_there_are_no_two_groups(
    names: tuple[str, ...],
    groups: str | None,
    known: dict[str, int],
    said: str,
    make_run: MakeRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    out = written(make_run(), Path("predictions/mine"), [segmentation(name, 0.3) for name in names])
    if groups is not None:
        Path("groups.csv").write_text(f"patient,group\n{groups}\n", encoding="utf-8")
    capsys.readouterr()
    namespace = run_notebook()
    printed = capsys.readouterr().out
    assert said in printed
    assert "two groups are needed" in printed
    assert {name: len(values) for name, values in namespace["groups"].items()} == known
    assert (out / "groups.png").exists() == bool(known)
