"""The report's tables of what stands beside a run's scores: baselines, final models, single trials, seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from src.report.runs import BASELINES, Group, Run, Task, number
from src.report.scores import MAIN_SCORES, folder_of, n_cell, result_cells
from src.report.tables import ABSENT, Cell, Notes, Table, as_list, digits, plural, score_cell

BASELINE_WORDS = {
    "random_encoder": "encoder with random weights",
    "raw_pixels": "raw pixels, no encoder",
    "latent_regression": "logistic regression on mean latents",
    "gray_regression": "logistic regression on gray levels",
}


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
            cells = [_difference(_looked_up(difference, score), notes) for score in columns]
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
        rows.append([head, *(_spread_cell(_looked_up(spread, score)) for score in columns)])
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


def _looked_up(content: Mapping[str, Any], name: str) -> Any:
    """A score under its name, or under its name without the part."""
    return content.get(name, content.get(name.removeprefix("test/")))
