"""The report's tables of scores: every number stands in a file below the output root, which its table names.

Of the runs by case, and of what stands beside them: baselines, final models, single trials, seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from src.places import RUNS
from src.report.reading import mapping
from src.report.runs import BASELINES, CASES, Group, Results, Run, Task, class_names, number
from src.report.tables import ABSENT, Cell, Table, as_list, digits, plural, score_cell

PATIENT_SCORES = {
    "test/patient_auc": "AUC",
    "test/patient_average_precision": "average precision",
    "test/patient_balanced_accuracy": "balanced accuracy",
    "test/patient_sensitivity": "sensitivity",
    "test/patient_specificity": "specificity",
    "test/patient_accuracy": "accuracy",
    "test/patient_precision": "precision",
    "test/patient_f1": "F1",
    "test/patient_mcc": "MCC",
    "test/patient_brier": "Brier score ↓",
    "test/patient_ece": "calibration error ↓",
}
FRAME_SCORES = {
    "test/frame_auc": "AUC",
    "test/frame_accuracy": "accuracy",
    "test/frame_balanced_accuracy": "balanced accuracy",
    "test/frame_precision": "precision",
    "test/frame_recall": "recall",
    "test/frame_f1": "F1",
}
REGION_MEASURES = {
    "dice": "Dice, pixels of all test frames together",
    "iou": "IoU, pixels of all test frames together",
    "image_dice": "Dice, mean over test frames",
    "image_surface_dice": "Surface Dice at 2 pixels, mean over test frames",
    "image_hausdorff95": "Hausdorff distance, 95th percentile, in pixels, mean over test frames ↓",
}
MAIN_SCORES: dict[Task, dict[str, str]] = {
    "latent": {"test/reconstruction": "reconstruction error ↓", "test/contrastive": "contrastive loss ↓"},
    "classification": {
        f"test/patient_{name}": PATIENT_SCORES[f"test/patient_{name}"]
        for name in ("auc", "average_precision", "balanced_accuracy", "sensitivity", "specificity", "brier")
    },
    "segmentation": {
        "test/dice_macro": "Dice",
        "test/iou_macro": "IoU",
        "test/image_dice_macro": "Dice by frame",
        "test/image_surface_dice_macro": "surface Dice",
        "test/image_hausdorff95_macro": "Hausdorff 95% ↓",
        "test/pixel_accuracy": "pixel accuracy",
    },
}
"""The scores that a run is compared by."""
_WITHIN = "test/patient_auc_within_"


def score_row(head: Cell, run: Run, names: Iterable[str], results: Results | None = None) -> list[Cell]:
    """What is scored, of how many, and each score: the run's own, or of other results on the same patients."""
    return [head, n_cell(run), *(_result_cell(results or run.results, name) for name in names)]


def _result_cell(results: Results, name: str) -> Cell:
    cell, value = score_cell(results.metrics.get(name), results.intervals.get(name)), results.value(name)
    return cell if value is None or not name.endswith("_pairs") else replace(cell, text=f"{value:.0f}")


def case_head(case: str) -> Cell:
    """The first cell of a row: the case, in letters and in words."""
    words = {"h": "heat", "g": "gray"}
    said = f"{words[case[0]]} encoder, {words[case[6]]} decoder" if "_enc_" in case else f"{case} frames"
    return Cell(case, said, kind="head")


def n_cell(run: Run) -> Cell:
    """How many patients and frames a row's scores and intervals are of."""
    patients, frames = run.tested
    if not patients:  # an encoder predicts nothing
        counts = mapping(mapping(run.split.get("counts")).get("test"))
        patients, frames = (int(number(counts.get(name)) or 0) for name in ("patients", "frames"))
    return Cell(plural(patients, "patient"), plural(frames, "frame")) if patients else ABSENT


def case_tables(group: Group, task: Task) -> list[Table]:
    """The tables of four cases of one protocol, without those that nothing fills beside the first."""
    if task == "classification":
        remark = "A patient's probability is the mean of its frames'."
        if not group.published:
            remark += " The threshold was chosen on validation patients."
        frames = "Without intervals: frames of one patient are not independent. Judge by patient."
        tables = [
            _case_table("By patient, with 95% intervals", PATIENT_SCORES, task, group, remark),
            *_within_table(group),
            _case_table("By frame", FRAME_SCORES, task, group, frames),
        ]
    else:
        tables = _region_tables(group)
    # The first two cells are the case and its n.
    return tables[:1] + [
        table for table in tables[1:] if any(cell.kind != "absent" for row in table.rows for cell in row[2:])
    ]


def _within_table(group: Group) -> list[Table]:
    """AUCs over pairs that are alike, if any run has one; what differs between the pairs left out cannot raise them."""
    runs = group.of("classification").values()
    found = dict.fromkeys(name for run in runs for name in run.results.intervals if name.startswith(_WITHIN))
    columns: dict[str, str] = {}
    for name in found:
        same = name.removeprefix(_WITHIN).replace("_", " ")
        columns |= {name: f"AUC within the same {same}", f"{name}_pairs": "pairs"}
    remark = (
        "Over pairs of a healthy and a sick patient of the same stratum only; in one fold, one training ranks both."
    )
    title = "By patient, over pairs that are alike, with 95% intervals"
    return [_case_table(title, columns, "classification", group, remark)] if columns else []


def _region_tables(group: Group) -> list[Table]:
    runs = group.of("segmentation").values()
    names = list(dict.fromkeys(name for run in runs for name in class_names(run)))
    background = next((str(found) for run in runs if (found := run.settings.get("background"))), "")
    tables = []
    for measure, title in REGION_MEASURES.items():
        columns = {f"test/{measure}_macro": "mean of regions"}
        columns |= {f"test/{measure}/{name}": name.replace("_", " ") for name in names if name != background}
        remark = ""
        if background in names and measure in ("dice", "iou"):
            columns[f"test/{measure}/{background}"] = f"{background} (background)"
            remark = "The background is not in the mean."
        tables.append(_case_table(title, columns, "segmentation", group, remark))
    return tables


def _case_table(title: str, columns: Mapping[str, str], task: Task, group: Group, remark: str) -> Table:
    runs = group.of(task)
    rows = [score_row(case_head(case), runs[case], columns) for case in CASES if case in runs and runs[case].finished]
    folder = (f"{group.name}/" if group.name else "") + f"{folder_of(task)}/results"
    files = "metrics.json" if columns is FRAME_SCORES else "metrics.json and intervals.json"
    source = f"{folder}/{files}; n from predictions.csv there"
    return Table(title, ["case", "n", *columns.values()], rows, source, remark)


def encoder_table(group: Group) -> Table | None:
    """The two encoders: what is left of the input after encoding and decoding."""
    columns, runs = MAIN_SCORES["latent"], sorted(group.of("latent").items(), reverse=True)
    rows = [score_row(case_head(case), run, columns) for case, run in runs if run.finished]
    source = "dmr_runs/results/metrics.json (heat) and dmr_runs_gray/results/metrics.json; n from split.json there"
    return Table("Encoders", ["encoder", "n", *columns.values()], rows, source) if rows else None


def folder_of(task: Task) -> str:
    """Where the runs of a task lie, with CASE for the case."""
    return RUNS[task] + ("*" if task == "latent" else "_CASE")


def final_table(group: Group) -> Table | None:
    """The models that were trained on all patients, with what is expected of each."""
    main = {"expected/patient_auc": "AUC by patient", "expected/dice_macro": "Dice, mean of regions"}
    rows = [
        [
            Cell(run.name, run.case, kind="head"),
            Cell(plural(len(as_list(run.split.get("train"))), "patient")),
            *(_result_cell(run.results, name) for name in main),
        ]
        for run in group.runs.values()
        if run.finished and run.task != "latent"
    ]
    source = f"{group.name}/.../results/metrics.json and intervals.json, which repeat those of k-fold"
    remark = "Nobody was left to test on: each score is that of k-fold, whose trainings were of the same settings."
    columns = ["run", "trained on", *(f"expected {words}" for words in main.values())]
    return Table("Final models: trained on all", columns, rows, source, remark) if rows else None


def baseline_table(title: str, run: Run) -> Table:
    """A run, its baselines, and the run minus each of them."""
    columns = MAIN_SCORES[run.task]
    rows = [score_row(Cell("this run", kind="head"), run, columns)]
    # The two regressions have no regions to find.
    usual = list(BASELINES)[: 4 if run.task == "classification" else 2]
    missing = []
    for name in dict.fromkeys((*usual, *run.baselines, *run.differences)):
        said, results = BASELINES.get(name, name), run.baselines.get(name)
        if results is not None and results.finished:
            rows.append(score_row(Cell(said, name, kind="head"), run, columns, results))
        else:
            missing.append((said, "the run's command with --baselines"))
        difference = run.differences.get(name)
        if isinstance(difference, dict):
            cells = [_difference(_looked_up(difference, score)) for score in columns]
            rows.append([Cell(f"run minus {said}", kind="head difference"), n_cell(run), *cells])
    source = f"{run.name}/baselines/*/results and {run.name}/baselines/differences.json; n from predictions.csv"
    remark = "Differences are paired: both are scored on the same resamples of the same patients."
    return Table(title, ["", "n", *columns.values()], rows, source, remark, not_run=missing)


def _difference(found: Any) -> Cell:
    value, interval = (None, found) if isinstance(found, dict) else (found, None)
    return score_cell(value, interval, "difference", signed=True)


def trial_table(groups: Sequence[Group], task: Task) -> Table | None:
    """The scores of each trial: of every fold and seed."""
    columns = MAIN_SCORES[task]
    runs = [(f"{group.label}: {case}", run) for group in groups for case, run in group.of(task).items()]
    rows = [score_row(Cell(title, kind="head"), run, columns) for title, run in runs if run.finished]
    missing = [(title, "not finished") for title, run in runs if not run.finished]
    source = f"TRIAL/{folder_of(task)}/results/metrics.json and intervals.json"
    names = ["trial", "n", *columns.values()]
    return Table(f"Single trials, {task}", names, rows, source, not_run=missing) if runs else None


def seed_table(group: Group, task: Task) -> Table | None:
    """Mean and standard deviation over seeds of a protocol's pooled runs."""
    columns, rows = MAIN_SCORES[task], []
    for case, run in group.of(task).items():
        spread = run.trials.get("across_seeds")
        seeds = list(dict.fromkeys(str(trial.get("seed")) for trial in run.trial_entries))
        if isinstance(spread, dict) and spread and len(seeds) > 1:
            head = Cell(case, f"seeds {', '.join(seeds)}", kind="head")
            rows.append([head, *(_spread_cell(_looked_up(spread, score)) for score in columns)])
    remark = "Mean ± standard deviation over seeds; below, the value of each seed."
    source = f"results/trials.json of each run below {group.name or 'the output root'}"
    return Table(f"Across seeds, {task}", ["case", *columns.values()], rows, source, remark) if rows else None


def _spread_cell(found: Any) -> Cell:
    if not isinstance(found, dict) or (mean := number(found.get("mean"))) is None:
        return ABSENT
    spread = number(found.get("sd"))
    values = [digits(value) for item in as_list(found.get("values")) if (value := number(item)) is not None]
    return Cell(digits(mean) + ("" if spread is None else f" ± {digits(spread)}"), ", ".join(values))


def _looked_up(content: Mapping[str, Any], name: str) -> Any:
    """A score under its name, or under its name without the part."""
    return content.get(name, content.get(name.removeprefix("test/")))
