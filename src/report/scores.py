"""The report's tables of scores: every number stands in a file below the output root, which its table names."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from src.report.reading import mapping
from src.report.runs import CASES, Group, Results, Run, Task, number
from src.report.tables import ABSENT, Cell, Notes, Table, plural, score_cell

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
_WITHIN = "test/patient_auc_within_"


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


def case_tables(group: Group, task: Task) -> list[Table]:
    """The tables of four cases of one protocol."""
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


def encoder_table(group: Group) -> Table | None:
    """The two encoders: what is left of the input after encoding and decoding."""
    notes, runs, columns = Notes(), group.of("latent"), MAIN_SCORES["latent"]
    rows = [
        [case_head(case), n_cell(run), *result_cells(run.results, columns, notes)]
        for case, run in sorted(runs.items(), reverse=True)
        if run.finished
    ]
    source = "dmr_runs/results/metrics.json (heat) and dmr_runs_gray/results/metrics.json; n from split.json there"
    return Table("Encoders", ["encoder", "n", *columns.values()], rows, source, notes.lines()) if rows else None


def folder_of(task: Task) -> str:
    """Where the runs of a task lie, with CASE for the case."""
    return {"latent": "dmr_runs*", "classification": "dmr_runs_classification_CASE"}.get(task, "dmr_runs_seg_CASE")
