"""The report's tables of scores: every number stands in a file below the output root, which its table names."""

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from src.report.reading import mapping
from src.report.runs import BASELINES, CASES, Group, Results, Run, Task, number
from src.report.tables import ABSENT, Cell, Notes, Table, as_list, digits, plural, score_cell

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


def result_cells(results: Results, names: Collection[str], notes: Notes) -> list[Cell]:
    """A row's scores; counts of pairs are whole."""
    cells = [score_cell(results.metrics.get(name), results.intervals.get(name), notes) for name in names]
    return [
        replace(cell, text=f"{pairs:.0f}")
        if name.endswith("_pairs") and (pairs := results.value(name)) is not None
        else cell
        for name, cell in zip(names, cells, strict=True)
    ]


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


def _not_run(task: Task, cases: Sequence[str], runs: Mapping[str, Run], commands: Commands) -> list[tuple[str, str]]:
    """Cases without scores, with what fills them."""
    missing = [case for case in cases if case not in runs or not runs[case].finished]
    return [(f"{case}{': not finished' if case in runs else ''}", commands(task, case)) for case in missing]


def case_tables(group: Group, task: Task, commands: Commands | None) -> list[Table]:
    """The tables of four cases of one protocol; the first one says which are not run."""
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
    filled = [
        table for table in tables[1:] if any(cell.kind != "absent" for row in table.rows for cell in row[2:])
    ]  # the first two cells are the case and its n
    first = replace(tables[0], not_run=_not_run(task, CASES, group.of(task), commands) if commands else ())
    return [first, *filled]


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
    regions, background = region_names(group.of("segmentation").values())
    tables = []
    for measure, title in REGION_MEASURES.items():
        columns = {f"test/{measure}_macro": "mean of regions"}
        columns |= {f"test/{measure}/{name}": name.replace("_", " ") for name in regions}
        remark = ""
        if background and measure in ("dice", "iou"):
            columns[f"test/{measure}/{background}"] = f"{background} (background)"
            remark = "The background is not in the mean."
        tables.append(_case_table(title, columns, "segmentation", group, remark))
    return tables


def _case_table(title: str, columns: Mapping[str, str], task: Task, group: Group, remark: str) -> Table:
    notes, runs = Notes(), group.of(task)
    rows = [
        [case_head(case), n_cell(runs[case]), *result_cells(runs[case].results, columns, notes)]
        for case in CASES
        if case in runs and runs[case].finished
    ]
    folder = (f"{group.name}/" if group.name else "") + f"{folder_of(task)}/results"
    files = "metrics.json" if columns is FRAME_SCORES else "metrics.json and intervals.json"
    source = f"{folder}/{files}; n from predictions.csv there"
    return Table(title, ["case", "n", *columns.values()], rows, source, notes.lines(), remark)


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
    notes, runs, columns = Notes(), group.of("latent"), MAIN_SCORES["latent"]
    rows = [
        [case_head(case), n_cell(run), *result_cells(run.results, columns, notes)]
        for case, run in sorted(runs.items(), reverse=True)
        if run.finished
    ]
    source = "dmr_runs/results/metrics.json (heat) and dmr_runs_gray/results/metrics.json; n from split.json there"
    missing = _not_run("latent", ("heat", "gray"), runs, commands)
    return Table("Encoders", ["encoder", "n", *columns.values()], rows, source, notes.lines(), not_run=missing)


def final_table(group: Group) -> Table | None:
    """The models that were trained on all patients, with what is expected of each."""
    notes = Notes()
    main = {"test/patient_auc": "AUC by patient", "test/dice_macro": "Dice, mean of regions"}
    expected = [name.replace("test/", "expected/") for name in main]
    rows = [
        [
            Cell(run.name, run.case, kind="head"),
            Cell(plural(len(as_list(run.split.get("train"))), "patient")),
            *result_cells(run.results, expected, notes),
        ]
        for run in group.runs.values()
        if run.finished and run.task != "latent"
    ]
    source = f"{group.name}/.../results/metrics.json and intervals.json, which repeat those of k-fold"
    remark = "Nobody was left to test on: each score is that of k-fold, whose trainings were of the same settings."
    columns = ["run", "trained on", *(f"expected {words}" for words in main.values())]
    return Table("Final models: trained on all", columns, rows, source, notes.lines(), remark) if rows else None


def baseline_table(title: str, run: Run) -> Table:
    """A run, its baselines, and the run minus each of them."""
    columns, notes = MAIN_SCORES[run.task], Notes()
    rows = [[Cell("this run", kind="head"), n_cell(run), *result_cells(run.results, columns, notes)]]
    # The two regressions have no regions to find.
    usual = BASELINES if run.task == "classification" else BASELINES[:2]
    missing = []
    for name in dict.fromkeys((*usual, *run.baselines, *run.differences)):
        said, results = BASELINE_WORDS.get(name, name), run.baselines.get(name)
        if results is not None and results.finished:
            rows.append([Cell(said, name, kind="head"), n_cell(run), *result_cells(results, columns, notes)])
        else:
            missing.append((said, "the run's command with --baselines"))
        difference = run.differences.get(name)
        if isinstance(difference, dict):
            cells = [_difference(looked_up(difference, score), notes) for score in columns]
            rows.append([Cell(f"run minus {said}", kind="head difference"), n_cell(run), *cells])
    source = f"{run.name}/baselines/*/results and {run.name}/baselines/differences.json; n from predictions.csv"
    remark = "Differences are paired: both are scored on the same resamples of the same patients."
    return Table(title, ["", "n", *columns.values()], rows, source, notes.lines(), remark, not_run=missing)


def _difference(interval: Any, notes: Notes) -> Cell:
    if isinstance(interval, dict):
        return score_cell(None, interval, notes, "difference", signed=True)
    return score_cell(interval, None, notes, "difference", signed=True)


def trial_table(groups: Sequence[Group], task: Task) -> Table | None:
    """The scores of each trial: of every fold and seed."""
    columns, notes, rows, missing = MAIN_SCORES[task], Notes(), [], []
    for group in groups:
        for case, run in group.of(task).items():
            title = f"{group.label}: {case}"
            if run.finished:
                rows.append([Cell(title, kind="head"), n_cell(run), *result_cells(run.results, columns, notes)])
            else:
                missing.append((title, "not finished"))
    if not rows and not missing:
        return None
    source = f"TRIAL/{folder_of(task)}/results/metrics.json and intervals.json"
    columns_ = ["trial", "n", *columns.values()]
    return Table(f"Single trials, {task}", columns_, rows, source, notes.lines(), not_run=missing)


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
        if len(seeds) < 2:
            continue
        head = Cell(case, f"seeds {', '.join(seeds)}", kind="head")
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
