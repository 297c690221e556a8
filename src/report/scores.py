"""The report's tables of scores: every number stands in a file below the output root, which its table names."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from src.report.runs import BASELINES, CASES, Group, Results, Run, Task, number
from src.report.tables import ABSENT, Cell, Notes, Table, as_list, digits, score_cell

NOT_RUN = "not run"
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
        name: PATIENT_SCORES[name]
        for name in (
            "test/patient_auc",
            "test/patient_average_precision",
            "test/patient_balanced_accuracy",
            "test/patient_sensitivity",
            "test/patient_specificity",
            "test/patient_brier",
        )
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
BASELINE_WORDS = {
    "random_encoder": "encoder with random weights",
    "raw_pixels": "raw pixels, no encoder",
    "latent_regression": "logistic regression on mean latents",
    "gray_regression": "logistic regression on gray levels",
}
_WITHIN = "test/patient_auc_within_"
Commands = Callable[[Task, str], str]
"""From task and case to the command that runs it."""


def looked_up(content: Mapping[str, Any], name: str) -> Any:
    """A score under its name, or under its name without the part."""
    return content.get(name, content.get(name.removeprefix("test/")))


def result_cells(results: Results, names: Iterable[str], notes: Notes) -> list[Cell]:
    """A row's scores."""
    return [score_cell(results.metrics.get(name), results.intervals.get(name), notes) for name in names]


def case_head(case: str) -> Cell:
    """The first cell of a row: the case, in letters and in words."""
    words = {"h": "heat", "g": "gray"}
    said = f"{words[case[0]]} encoder, {words[case[6]]} decoder" if "_enc_" in case else f"{case} frames"
    return Cell(case, said, kind="head")


def missing_row(task: Task, case: str, run: Run | None, width: int, commands: Commands | None) -> list[Cell]:
    """A row of a case without scores."""
    command = commands(task, case) if commands else ""
    return [case_head(case), Cell("not finished" if run else NOT_RUN, span=width, command=command, kind="absent")]


def case_tables(group: Group, task: Task, commands: Commands | None) -> list[Table]:
    """The tables of four cases of one protocol; only the first lists cases that are not run."""
    if task == "classification":
        remark = "A patient's probability is the mean of its frames'."
        if not group.published:
            remark += " The threshold was chosen on validation patients."
        frames = "Without intervals: frames of one patient are not independent. Judge by patient."
        tables = [
            _case_table("By patient, with 95% intervals", PATIENT_SCORES, task, group, commands, remark),
            *_within_table(group),
            _case_table("By frame", FRAME_SCORES, task, group, None, frames),
        ]
    else:
        tables = _region_tables(group, commands)
    ran = [case for case, run in group.of(task).items() if run.finished]
    run_only = [replace(table, rows=[row for row in table.rows if row[0].text in ran]) for table in tables[1:]]
    filled = (table for table in run_only if any(cell.kind != "absent" for row in table.rows for cell in row[1:]))
    return [tables[0], *filled]


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
    return [_case_table(title, columns, "classification", group, None, remark)] if columns else []


def _region_tables(group: Group, commands: Commands | None) -> list[Table]:
    regions, background = region_names(group.of("segmentation").values())
    tables = []
    for measure, title in REGION_MEASURES.items():
        columns = {f"test/{measure}_macro": "mean of regions"}
        columns |= {f"test/{measure}/{name}": name.replace("_", " ") for name in regions}
        remark = ""
        if background and measure in ("dice", "iou"):
            columns[f"test/{measure}/{background}"] = f"{background} (background)"
            remark = "The background is not in the mean."
        tables.append(_case_table(title, columns, "segmentation", group, commands, remark))
    return tables


def _case_table(
    title: str, columns: Mapping[str, str], task: Task, group: Group, commands: Commands | None, remark: str
) -> Table:
    notes, rows, runs = Notes(), [], group.of(task)
    for case in CASES:
        run = runs.get(case)
        if run and run.finished:
            rows.append([case_head(case), *result_cells(run.results, columns, notes)])
        else:
            rows.append(missing_row(task, case, run, len(columns), commands))
    folder = f"{group.name}/" if group.name else ""
    folder += f"{folder_of(task)}/results"
    files = "metrics.json" if columns is FRAME_SCORES else "metrics.json and intervals.json"
    return Table(title, ["case", *columns.values()], rows, f"{folder}/{files}", notes.lines(), remark)


def region_names(runs: Iterable[Run]) -> tuple[list[str], str]:
    """Regions in the order of the first run's scores, and the name of the background."""
    names: dict[str, None] = {}
    background = ""
    for run in runs:
        background = background or str(run.settings.get("background") or "")
        names |= dict.fromkeys(
            name.removeprefix("test/dice/") for name in run.results.metrics if name.startswith("test/dice/")
        )
    has_background = background in names
    return [name for name in names if name != background], background if has_background else ""


def encoder_table(group: Group, commands: Commands) -> Table:
    """The two encoders: what is left of the input after encoding and decoding."""
    notes, rows = Notes(), []
    columns = MAIN_SCORES["latent"]
    for case in ("heat", "gray"):
        run = group.of("latent").get(case)
        if run and run.finished:
            rows.append([case_head(case), *result_cells(run.results, columns, notes)])
        else:
            rows.append(missing_row("latent", case, run, len(columns), commands))
    source = "dmr_runs/results/metrics.json (heat) and dmr_runs_gray/results/metrics.json"
    return Table("Encoders", ["encoder", *columns.values()], rows, source, notes.lines())


def baseline_table(title: str, run: Run) -> Table:
    """A run, its baselines, and the run minus each of them."""
    columns, notes = MAIN_SCORES[run.task], Notes()
    rows = [[Cell("this run", kind="head"), *result_cells(run.results, columns, notes)]]
    # The two regressions have no regions to find.
    usual = BASELINES if run.task == "classification" else BASELINES[:2]
    for name in dict.fromkeys((*usual, *run.baselines, *run.differences)):
        head = Cell(BASELINE_WORDS.get(name, name), name, kind="head")
        results = run.baselines.get(name)
        if results is None or not results.finished:
            rows.append([head, Cell(NOT_RUN, span=len(columns), kind="absent")])
        else:
            rows.append([head, *result_cells(results, columns, notes)])
        difference = run.differences.get(name)
        if isinstance(difference, dict):
            cells = [_difference(looked_up(difference, score), notes) for score in columns]
            rows.append([Cell("run minus baseline", kind="head difference"), *cells])
    source = f"{run.name}/baselines/*/results and {run.name}/baselines/differences.json"
    remark = "Differences are paired: both are scored on the same resamples of the same patients."
    return Table(title, ["", *columns.values()], rows, source, notes.lines(), remark)


def _difference(interval: Any, notes: Notes) -> Cell:
    if isinstance(interval, dict):
        return score_cell(None, interval, notes, "difference", signed=True)
    return score_cell(interval, None, notes, "difference", signed=True)


def trial_table(groups: Sequence[Group], task: Task) -> Table | None:
    """The scores of each trial: of every fold and seed."""
    columns, notes, rows = MAIN_SCORES[task], Notes(), []
    for group in groups:
        for case, run in group.of(task).items():
            head = Cell(f"{group.label}: {case}", group.name, kind="head")
            if run.finished:
                rows.append([head, *result_cells(run.results, columns, notes)])
            else:
                rows.append([head, Cell("not finished", span=len(columns), kind="absent")])
    if not rows:
        return None
    source = f"TRIAL/{folder_of(task)}/results/metrics.json and intervals.json"
    return Table(f"Single trials, {task}", ["trial", *columns.values()], rows, source, notes.lines())


def folder_of(task: Task) -> str:
    """Where the runs of a task lie, with CASE for the case."""
    return {"latent": "dmr_runs*", "classification": "dmr_runs_classification_CASE"}.get(task, "dmr_runs_seg_CASE")


def seed_table(group: Group, task: Task) -> Table | None:
    """Mean and standard deviation over seeds of a protocol's pooled runs."""
    columns, rows = MAIN_SCORES[task], []
    for case, run in group.of(task).items():
        spread = run.trials.get("across_seeds")
        if not isinstance(spread, dict) or not spread:
            continue
        trials = [trial for trial in as_list(run.trials.get("trials")) if isinstance(trial, dict)]
        seeds = list(dict.fromkeys(str(trial.get("seed")) for trial in trials))
        head = Cell(case, f"seeds {', '.join(seeds)}" if seeds else run.name, kind="head")
        rows.append([head, *(_spread_cell(looked_up(spread, score)) for score in columns)])
    if not rows:
        return None
    remark = "Mean ± standard deviation over seeds; below, the value of each seed."
    source = f"results/trials.json of each run below {group.name or 'the output root'}"
    return Table(f"Across seeds, {task}", ["case", *columns.values()], rows, source, remark=remark)


def _spread_cell(found: Any) -> Cell:
    if not isinstance(found, dict) or (mean := number(found.get("mean"))) is None:
        return ABSENT
    spread = number(found.get("sd"))
    values = [digits(value) for item in as_list(found.get("values")) if (value := number(item)) is not None]
    return Cell(digits(mean) + ("" if spread is None else f" ± {digits(spread)}"), ", ".join(values))


def command_line(cfg_path: str, overrides: Sequence[str]) -> Commands:
    """Commands with the same settings folder and overrides as the report's own."""
    shared = [] if not cfg_path else ["--cfg-path", cfg_path]
    shared += ["--set", *overrides] if overrides else []

    def command(task: Task, case: str) -> str:
        if task == "latent":
            words = ["python", "main_latent.py", *(["--gray"] if case == "gray" else [])]
        else:
            words = ["python", "main_binary.py" if task == "classification" else "main_seg.py"]
            words += ["--gray_encoder"] if case.startswith("g_enc") else []
            words += ["--gray_decoder"] if case.endswith("g_dec") else []
        return shlex.join([*words, *shared])

    return command
