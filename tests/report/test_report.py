"""The report of small faked output roots: its numbers, its escaping, and what it says where something is absent."""

import base64
import csv
import inspect
import io
import json
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from src.audit.audit import audit
from src.errors import UserError
from src.evaluation import figures
from src.evaluation.figure_style import PAGE_COLOURS
from src.files import write_json
from src.report import page
from src.report.page import command_line
from src.report.reading import Reader
from src.report.runs import PUBLISHED
from src.settings import REPOSITORY

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
H_H, G_G = "dmr_runs_classification_h_enc_h_dec", "dmr_runs_classification_g_enc_g_dec"
SEG = "dmr_runs_seg_h_enc_h_dec"
COMMANDS = command_line("config/demo", ["output_root=/data/my runs"])


class Parsed(HTMLParser):
    """Tags with their attributes, tables by caption, and the text in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._caption: str | None = None
        self._in: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "wbr", "br"):
            self._in.append(tag)
        if tag == "figcaption":
            self._caption = ""
        if tag == "tr" and self._caption is not None:
            self.tables.setdefault(self._caption, []).append([])
        if tag in ("td", "th") and self._caption is not None:
            self.tables[self._caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._in.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._in:
            return
        self.text += data
        if "figcaption" in self._in and self._caption is not None:
            self._caption += data
        if ("td" in self._in or "th" in self._in) and self._caption in self.tables:
            row = self.tables[self._caption][-1]
            row[-1] = " ".join((row[-1] + data).split()) + (" " if data.endswith(("\n", " ")) else "")

    def row(self, caption: str, head: str) -> dict[str, str]:
        """A row by its first cell, as column -> text."""
        columns, *rows = self.tables[caption]
        found = next(row for row in rows if row[0].startswith(head))
        return {name.strip(): value.strip() for name, value in zip(columns, found, strict=False)}


def interval(
    value: float | None, low: float | None = None, high: float | None = None, reason: str = ""
) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "undefined": 0, "reason": reason}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    lines = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, lines[0].keys())
        writer.writeheader()
        writer.writerows(lines)


def results(folder: Path, intervals: dict[str, Any], **metrics: float) -> None:
    found = {name: item["value"] for name, item in intervals.items()}
    write(folder / "metrics.json", found | metrics)
    write(folder / "intervals.json", intervals)


def logs(run: Path, **settings: Any) -> None:
    known = {"seed": 2021, "dataset_path": "/nowhere", "background": "ROI", "learning_rate": 0.001} | settings
    provenance = {"command": "main.py", "git_commit": "abc123", "python": "3.11.7", "packages": {"torch": "2.14.1"}}
    write(run / "logs" / "settings.yaml", yaml.safe_dump({"settings": known, "provenance": provenance}))
    history = [{"epoch": epoch, "train/loss": 1 / epoch, "val/loss": 1.1 / epoch} for epoch in (1, 2, 3)]
    write(run / "logs" / "metrics.jsonl", "\n".join(map(json.dumps, history)))


def classifier(run: Path, area: float = 0.8125, **settings: Any) -> None:
    """A classification run of eight test patients with two frames each."""
    logs(run, **settings)
    results(run / "results", {"test/patient_auc": interval(area, 0.7, 0.9)}, best_epoch=2, temperature=1.5)
    rows = [
        {"part": part, "patient": f"{n}", "frame": f"{n}/{k}.jpg", "label": n % 2, "probability": 0.1 * n + 0.01 * k}
        for part, count in (("val", 3), ("test", 8))
        for n in range(count)
        for k in range(2)
    ]
    write_csv(run / "results" / "predictions.csv", rows)


def segmenter(run: Path, regions: tuple[str, ...] = ("left_breast", "neck")) -> None:
    """A segmentation run with the region columns of the first measure."""
    logs(run)
    found = {f"test/dice/{name}": interval(0.9, 0.85, 0.95) for name in (*regions, "ROI")}
    results(run / "results", found | {"test/dice_macro": interval(0.9, 0.88, 0.92)})
    rows = [
        {"part": "test", "patient": "1", "frame": f"1/{k}.jpg", "region": name, "truth": "x" * 200_000, "dice": dice}
        for k, dice in enumerate((0.9, 0.8, ""))
        for name in regions
    ]
    write_csv(run / "results" / "predictions.csv", rows)


@pytest.fixture(autouse=True, scope="module")
def _figures_of_the_same_values_are_drawn_once() -> Iterator[None]:
    """Drawing takes most of a page, and nearly all pages here show the same few values."""
    drawn: dict[tuple[str, bytes], bytes] = {}

    def once(function: Callable[..., None], known: inspect.Signature, *values: Any, **named: Any) -> None:
        arguments = known.bind(*values, **named).arguments
        target = arguments.pop("target")
        key = function.__name__, pickle.dumps(arguments)
        if key not in drawn:
            function(**arguments, target=(stream := io.BytesIO()))
            drawn[key] = stream.getvalue()
        target.write(drawn[key])

    with pytest.MonkeyPatch.context() as patch:
        for name, function in list(vars(figures).items()):
            if inspect.isfunction(function) and not name.startswith("_"):
                known = inspect.signature(function)
                if "target" in known.parameters:
                    patch.setattr(figures, name, partial(once, function, known))
        yield


def parsed(root: Path) -> Parsed:
    return Parsed(page.report(root, COMMANDS))


def test_the_area_over_pairs_of_one_year_stands_beside_the_plain_one(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    name = "test/patient_auc_within_year"
    reason = "the data cannot answer: 3 pairs of 2 healthy and 2 sick patients, needed are 30 pairs of 5 and 5"
    title = "By patient, over pairs that are alike, with 95% intervals"
    for area, shown in (
        (interval(0.61, 0.4, 0.8), "0.610 0.400 to 0.800"),
        (interval(None, reason=reason), "\N{EN DASH}a"),
    ):
        results(tmp_path / H_H / "results", {name: area}, **{f"{name}_pairs": 40})
        found = parsed(tmp_path)
        assert found.row(title, "h_enc_h_dec")["AUC within the same year"] == shown
        assert found.row(title, "h_enc_h_dec")["pairs"] == "40"
        assert (reason in found.text) == (area["value"] is None)


def test_a_score_stands_in_its_cell_with_its_interval(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    segmenter(tmp_path / SEG)
    found = parsed(tmp_path)
    assert found.row("By patient, with 95% intervals", "h_enc_h_dec")["AUC"] == "0.812 0.700 to 0.900"
    regions = found.row("Dice, pixels of all test frames together", "h_enc_h_dec")
    assert regions["left breast"] == "0.900 0.850 to 0.950"
    assert list(regions)[-1] == "ROI (background)"
    assert f"From {H_H.replace('h_enc_h_dec', 'CASE')}/results/metrics.json" in found.text


def test_cases_are_in_the_papers_order_and_absent_ones_name_their_command(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    for case in ("h_enc_g_dec", "g_enc_h_dec"):
        classifier(tmp_path / f"dmr_runs_classification_{case}")
    found = parsed(tmp_path)
    rows = found.tables["By patient, with 95% intervals"][1:]
    assert [row[0].split()[0] for row in rows] == ["h_enc_h_dec", "g_enc_h_dec", "h_enc_g_dec"]
    shared = "--cfg-path config/demo --set 'output_root=/data/my runs'"
    folded = found.text[found.text.index("7 cases of the output root itself not run") :].splitlines()[
        1
    ]  # two encoders, one classifier, four segmenters
    assert f"classification, g_enc_g_decpython main_binary.py --gray_encoder --gray_decoder {shared}" in folded
    assert found.text.count("not run") == 1
    assert "Regions" not in found.text


def test_a_missing_interval_and_a_missing_score_say_why(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    found = {
        "test/patient_auc": interval(1.0, 0.83, 1.0, "exact binomial"),
        "test/patient_f1": interval(1.0, reason="all the same"),
        "test/patient_mcc": interval(None, reason="one diagnosis"),
    }
    results(tmp_path / H_H / "results", found)
    page_ = parsed(tmp_path)
    row = page_.row("By patient, with 95% intervals", "h_enc_h_dec")
    assert (row["AUC"], row["F1"], row["MCC"]) == ("1.000a 0.830 to 1.000", "1.000b", "\N{EN DASH}c")
    for reason in ("exact binomial", "all the same", "one diagnosis"):
        assert reason in page_.text


def test_hostile_names_are_text(tmp_path: Path) -> None:
    classifier(tmp_path / H_H, annotation_file=HOSTILE)
    segmenter(tmp_path / SEG, (HOSTILE, "neck"))
    pictures = tmp_path / H_H / "results" / "figures"
    pictures.mkdir()
    (pictures / '"><script>alert(1)<.png').write_bytes(PIXEL)
    traits = [{"trait": HOSTILE, "warns": True, "auc": {"interval": {"reason": HOSTILE}}}]
    audit = {"traits": traits, "warnings": [HOSTILE], "strata": [HOSTILE], "same_in_all": [HOSTILE], "reason": HOSTILE}
    write(tmp_path / H_H / "results" / "audit.json", audit)
    write(tmp_path / H_H / "baselines" / "differences.json", {HOSTILE: {"test/patient_auc": interval(0.1)}})
    found = parsed(tmp_path)
    assert HOSTILE in found.text
    assert "script" not in {tag for tag, _ in found.tags}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    (tmp_path / H_H / "results" / "figures").mkdir()
    (tmp_path / H_H / "results" / "figures" / "latents.png").write_bytes(PIXEL)
    html = page.report(tmp_path, COMMANDS)
    found = Parsed(html)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in found.tags}
    pictures = [attributes["src"] or "" for tag, attributes in found.tags if tag == "img"]
    assert [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in pictures] == [PIXEL]
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in found.tags)
    for fetched in ("http://", "https://", "@import"):
        assert fetched not in html
    assert html.count("url(") == html.count("url(#f")  # a figure's own clip paths
    assert "default-src 'none'" in html


def test_one_encoder_makes_a_page(tmp_path: Path) -> None:
    write(tmp_path / "dmr_runs" / "results" / "metrics.json", {"test/reconstruction": 0.25})
    found = parsed(tmp_path)
    assert found.row("Encoders", "heat")["reconstruction error ↓"] == "0.250"
    assert "python main_latent.py --gray" in found.text
    for section in ("Baselines", "Audit"):
        assert f"{section}\nNot run" in found.text
    assert len([row for row in found.text.splitlines() if row.strip() == "Not run."]) == 0


def test_a_run_that_has_begun_is_not_finished(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    logs(tmp_path / "dmr_runs_classification_g_enc_h_dec")
    assert "classification, g_enc_h_dec: not finishedpython main_binary.py --gray_encoder" in parsed(tmp_path).text


def test_published_results_are_labelled_wherever_they_stand(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    classifier(tmp_path / "published" / H_H, 0.95)
    write(tmp_path / "published" / H_H / "baselines" / "differences.json", {"raw_pixels": {}})
    html = page.report(tmp_path, COMMANDS)
    headings = [part.split("</h3>")[0] for part in html.split("<h3>")[1:]]
    assert f"Healthy or sick: {PUBLISHED}" in headings
    assert f"classification, h_enc_h_dec ({PUBLISHED})" in headings
    assert f"classification, h_enc_h_dec ({PUBLISHED})" in Parsed(html).tables
    assert html.index("0.812") < html.index(PUBLISHED.capitalize()) < html.index("0.950")


def test_an_audit_warning_says_of_which_frames_it_is_where_not_of_all(tmp_path: Path) -> None:
    marker, year = ("the diagnosis can be told from what is not anatomy: " + trait for trait in ("marker", "year"))
    for name, modality, warnings in ((H_H, "heat", [year]), (G_G, "gray", [year, marker])):
        classifier(tmp_path / name, decoder_modality=modality)
        write_json(tmp_path / name / "results" / "audit.json", {"warnings": warnings})
    assert "healthy here: year; marker in gray frames. Read" in parsed(tmp_path).text


def test_a_published_protocol_in_the_settings_is_labelled_too(tmp_path: Path) -> None:
    classifier(tmp_path / H_H, protocol="published")
    assert PUBLISHED.capitalize() in parsed(tmp_path).text


def test_audit_warnings_come_first(tmp_path: Path) -> None:
    patients = [f"{number:02d}" for number in range(40)]
    labels = np.array([0, 1] * 20)
    spread = np.random.default_rng(3).normal(size=40)
    traits = {"year": np.repeat([2012.0, 2013.0], 20), "level": 10.0 * labels + spread, "sharpness": spread}
    result = audit(patients, labels, traits, ("year",))
    for run in (tmp_path / H_H, tmp_path / "kfold_2" / "fold_1" / H_H):  # which share it
        classifier(run)
        result.record(run / "results" / "audit.json")
    found = parsed(tmp_path)
    first = found.text[found.text.index("Audit warnings") : found.text.index("Research software")]
    assert len(result.warnings) > 0
    for warning in result.warnings:
        assert first.count(warning.rpartition("anatomy: ")[2]) == 1
    assert "not anatomy" not in first
    assert H_H not in first
    for trait in result.traits:
        row = found.row("Traits of frames and patients", trait.trait)
        auc, low, high = trait.auc.interval.value, trait.auc.interval.low, trait.auc.interval.high
        assert auc is not None
        assert row["AUC"].startswith(f"{auc:.3f}")
        assert low is None or f"{low:.3f} to {high:.3f}" in row["AUC"]
        assert row["p"] == f"{trait.p:.3f}"
        within = row["AUC within year"]
        assert within.endswith(f"{trait.within.pairs} pairs") if trait.within else within == "\N{EN DASH}"
        assert ("warning" in row["trait"]) == trait.warns


def test_baselines_stand_beside_the_run_with_signed_differences(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    folder = tmp_path / H_H / "baselines"
    results(folder / "raw_pixels" / "results", {"test/patient_auc": interval(0.75, 0.6, 0.85)})
    write(folder / "differences.json", {"raw_pixels": {"test/patient_auc": interval(0.0625, -0.1, 0.2)}})
    found = parsed(tmp_path)
    title = "classification, h_enc_h_dec"
    assert found.row(title, "raw pixels")["AUC"] == "0.750 0.600 to 0.850"
    assert found.row(title, "run minus raw pixels")["AUC"] == "+0.062 -0.100 to 0.200"
    assert "encoder with random weights" in found.text[found.text.index("3 not run") :]


def test_pooled_results_trials_and_seeds(tmp_path: Path) -> None:
    classifier(tmp_path / "kfold_5" / "fold_1" / H_H, 0.61)
    classifier(tmp_path / "kfold_5" / "seed_2022" / "fold_1" / H_H, 0.62)
    pooled = tmp_path / "kfold_5" / H_H / "results"
    results(pooled, {"test/patient_auc": interval(0.63, 0.5, 0.7)})
    spread = {"test/patient_auc": {"mean": 0.63, "sd": 0.01, "values": [0.62, 0.64]}}
    trials = {"protocol": "kfold", "folds": 5, "trials": [{"seed": 2021}, {"seed": 2022}], "across_seeds": spread}
    write(pooled / "trials.json", trials)
    found = parsed(tmp_path)
    assert "Healthy or sick: 5-fold cross-validation" in found.text
    row = found.row("Across seeds, classification", "h_enc_h_dec seeds 2021, 2022")
    assert row["AUC"] == "0.630 ± 0.010 0.620, 0.640"
    single = "Single trials, classification"
    assert found.row(single, "5-fold cross-validation, fold 1: ")["AUC"].startswith("0.610")
    assert found.row(single, "5-fold cross-validation, seed 2022, fold 1")["AUC"].startswith("0.620")


def test_broken_files_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    write(tmp_path / H_H / "results" / "intervals.json", "{")
    write(tmp_path / H_H / "results" / "audit.json", [1])
    write(tmp_path / H_H / "logs" / "settings.yaml", "a: [")
    (tmp_path / H_H / "results" / "figures").mkdir()
    write(tmp_path / H_H / "results" / "figures" / "roc.png", "no picture")
    found = parsed(tmp_path)
    problems = found.text[found.text.index("Files that could not be read") : found.text.index("Test patients;")]
    for name in ("intervals.json", "audit.json", "settings.yaml", "roc.png"):
        assert name in problems
    assert found.row("By patient, with 95% intervals", "h_enc_h_dec")["AUC"] == "0.812"


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), "much", None, [1], True, {}])
def test_values_that_are_no_numbers_are_left_out(tmp_path: Path, odd: Any) -> None:
    classifier(tmp_path / H_H)
    metrics = dict.fromkeys(("test/patient_auc", "best_epoch", "temperature", "epochs"), odd)
    write(tmp_path / H_H / "results" / "metrics.json", metrics)
    write(tmp_path / H_H / "results" / "intervals.json", {"test/patient_auc": odd})
    write(tmp_path / H_H / "results" / "audit.json", {"traits": [odd, {"auc": odd, "within": odd}], "strata": odd})
    write(tmp_path / H_H / "results" / "trials.json", {"across_seeds": odd, "trials": odd})
    write(tmp_path / H_H / "results" / "split.json", {"train": odd})
    write(tmp_path / H_H / "baselines" / "differences.json", {"raw_pixels": odd, "gray_regression": {"x": odd}})
    row = parsed(tmp_path).row("By patient, with 95% intervals", "h_enc_h_dec")
    assert row["AUC"] == "\N{EN DASH}"


def test_split_counts_patients_frames_and_diagnoses(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    split = {"train": ["1", "2"], "validation": ["3"], "tested": ["4"]}
    counts = {"train": {"frames": 6, "patients": 2, "sick": 1, "healthy": 1, "undiagnosed": 0}, "validation": "many"}
    write(tmp_path / H_H / "results" / "split.json", split | {"counts": counts})
    row = parsed(tmp_path).row("Split by patient", "classification, h_enc_h_dec")
    assert row["train"] == "2 patients 6 frames, 1 sick, 1 healthy"
    assert row["validation"] == "1 patient"


def test_the_first_screen_has_both_numbers_with_their_n_and_file_and_the_regions(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    segmenter(tmp_path / SEG)
    picture = tmp_path / SEG / "results" / "figures" / "regions.png"
    picture.parent.mkdir()
    picture.write_bytes(PIXEL)
    html = page.report(tmp_path, COMMANDS)
    first = html[html.index('class="numbers"') : html.index("<nav")]
    text = " ".join(re.sub("<[^>]*>", " ", first.replace("<wbr>", "")).split()).replace(" ,", ",")
    for said in ("0.812 95% interval 0.700 to 0.900, n = 8 patients, 16 frames", f"From {H_H}/results/metrics.json"):
        assert said in text
    assert "0.900 95% interval 0.880 to 0.920, n = 1 patient, 3 frames" in text
    assert base64.b64encode(PIXEL).decode() in first


def test_a_pooled_result_leads_and_shows_its_folds(tmp_path: Path) -> None:
    segmenter(tmp_path / SEG)
    pooled = tmp_path / "kfold_2" / SEG
    segmenter(pooled)
    results(pooled / "results", {"test/dice_macro": interval(0.7, 0.6, 0.8)})
    folders = [f"kfold_2/seed_1/fold_{fold}/{SEG}" for fold in (1, 2)]
    for folder in folders:
        segmenter(tmp_path / folder)
        picture = tmp_path / folder / "results" / "figures" / "regions.png"
        picture.parent.mkdir()
        picture.write_bytes(PIXEL + folder.encode())
    trials = [{"seed": seed, "folder": folder} for seed, folder in zip((1, 1, 2), [*folders, SEG], strict=True)]
    write(pooled / "results" / "trials.json", {"trials": trials})
    html = page.report(tmp_path, COMMANDS)
    assert html.index("0.700") < html.index("0.900")
    shown = html[html.index("2-fold cross-validation)</h3>") : html.index('id="record"')]
    assert shown.count("<details") == 2
    assert "3 trainings" in shown
    for folder in folders:
        assert f"From {folder}/logs/metrics.jsonl." in shown.replace("<wbr>", "")
        assert base64.b64encode(PIXEL + folder.encode()).decode() in shown


def test_warnings_of_a_run_are_those_of_its_file_each_once(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    lines = [json.dumps({"level": "WARNING", "message": text}) for text in ("left <out>", "left <out>", "few patients")]
    write(tmp_path / H_H / "logs" / "warnings.jsonl", "\n".join([*lines, "{"]))
    found = parsed(tmp_path)
    assert "2 logged warnings" in found.text
    assert found.text.count("left <out>") == 1
    assert "warnings.jsonl: left out what cannot be read: line 4" in found.text


def test_curves_are_drawn_in_the_colours_of_the_page_under_names_of_their_own(tmp_path: Path) -> None:
    for case in ("h_enc_h_dec", "g_enc_h_dec"):
        classifier(tmp_path / f"dmr_runs_classification_{case}")
    segmenter(tmp_path / SEG, ("a $b^{", "neck"))
    html = page.report(tmp_path, COMMANDS)
    found = Parsed(html)
    assert sum(tag == "svg" for tag, _ in found.tags) == 9  # loss, ROC, reliability of two; both ROC; loss, Dice
    style, body = html.split("</style>", 1)
    for colour, name in PAGE_COLOURS.items():
        assert colour not in body
        assert f"--{name[6:-1]}:" in style
    names = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(names) == len(set(names))
    used = [(attributes.get("xlink:href") or "")[1:] for tag, attributes in found.tags if tag == "use"]
    assert used
    assert set(used) <= set(names)
    assert "a $b^{" in found.text


def test_settings_that_differ_are_told_apart(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    classifier(tmp_path / "dmr_runs_classification_g_enc_h_dec", learning_rate=0.5)
    found = parsed(tmp_path)
    assert found.row("Settings of all runs", "seed")["value"] == "2021"
    assert set(found.row("Settings that differ", "learning_rate").values()) == {"learning_rate", "0.001", "0.5"}


def test_the_checklist_is_whole_and_never_answers_for_the_author(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    html = page.report(tmp_path, COMMANDS)
    marks = [part.split("<")[0] for part in html[html.index('<table class="checklist') :].split('<span class="')[1:]]
    marks = [mark.split(">")[1] for mark in marks]
    assert len(marks) == 44
    filled = [place for place, mark in enumerate(marks, start=1) if mark == "✓ filled in"]
    assert {23, 26, 29, 43} <= set(filled)
    # Title, background, reference standard, discussion and funding are not the software's.
    assert not {1, 2, 3, 4, 14, 15, 16, 17, 18, 33, 34, 40, 41, 44} & set(filled)


def test_only_known_folders_are_entered(tmp_path: Path) -> None:
    classifier(tmp_path / H_H)
    for folder in ("data/DMR", "old", "kfold_x"):
        classifier(tmp_path / folder / H_H)
    assert [group.name for group in Reader(tmp_path).groups()] == [""]


def test_no_run_is_an_error_that_names_the_first_command(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=r"no finished run .*python main_latent.py --cfg-path config/demo"):
            page.report(root, COMMANDS)


def test_the_command_line_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier(tmp_path / H_H)
    flags = ["--cfg-path", str(REPOSITORY / "config" / "demo"), "--set", f"output_root={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["report", *flags])
    page.main()
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert str(tmp_path / "report.html") in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["report", *flags, "--output", str(tmp_path)])
    with pytest.raises(UserError, match="is a folder"):
        page.main()


def test_settings_that_disagree_on_the_output_root_are_refused(tmp_path: Path) -> None:
    for name, root in (("a", "one"), ("b", "two")):
        text = f"task: latent\nmodality: heat\nlearning_rate: 0.1\noutput_root: {tmp_path / root}\n"
        write(tmp_path / f"dmr_{name}.yaml", text)
    with pytest.raises(UserError, match=r"two output roots; .*--set output_root=DIR"):
        page.output_root(tmp_path, [])
    assert page.output_root(tmp_path, [f"output_root={tmp_path}"]) == tmp_path
    with pytest.raises(UserError, match="no settings"):
        page.output_root(tmp_path / "absent", [])
