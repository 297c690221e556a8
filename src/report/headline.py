"""The first thing the report shows: how well sick and healthy are told apart, how well regions are found, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from src.report.reading import Reader
from src.report.runs import CASES, Group, Run, Task
from src.report.scores import case_head, n_cell
from src.report.sections import Picture, read_picture, trials_of
from src.report.tables import Cell, Notes, score_cell

_ASKED: dict[Task, tuple[str, str, str]] = {
    "classification": ("Healthy or sick", "AUC by patient; .5 is chance, 1 is perfect", "test/patient_auc"),
    "segmentation": ("Regions", "Dice, mean of the regions; 1 is perfect", "test/dice_macro"),
}


@dataclass(frozen=True)
class Headline:
    """One number that matters, of one run."""

    title: str
    measure: str
    score: Cell
    reason: str
    """Why there is no interval, if there is none."""
    n: Cell
    of: str
    """The run's case and protocol in words."""
    source: str


def headlines(groups: Sequence[Group]) -> list[Headline]:
    """A number a task that has run: of the first case, not of the best one."""
    found = []
    for task, (title, measure, name) in _ASKED.items():
        chosen = _first(groups, task)
        if chosen is None:
            continue
        group, run = chosen
        notes = Notes()
        score = score_cell(run.results.metrics.get(name), run.results.intervals.get(name), notes)
        of = f"{run.case} ({case_head(run.case).below}), {group.label}"
        source = f"{run.name}/results/metrics.json and intervals.json"
        found.append(Headline(title, measure, score, "; ".join(notes.texts), n_cell(run), of, source))
    return found


def headline_picture(reader: Reader, groups: Sequence[Group], runs: Mapping[str, Run]) -> Picture | None:
    """The regions that the headline's segmenter, or its first fold, found."""
    chosen = _first(groups, "segmentation")
    for run in [chosen[1], *trials_of(chosen[1], runs)] if chosen else ():
        path = run.results.folder / "figures" / "regions.png"
        if path.is_file():
            return read_picture(reader, path)
    return None


def _first(groups: Sequence[Group], task: Task) -> tuple[Group, Run] | None:
    """Of the protocol that tests most patients and is not optimistic, the first case of the paper's order."""
    shown = [group for group in groups if not (group.is_trial or group.is_final)]
    for group in sorted(shown, key=lambda group: (group.published, not group.name.startswith("kfold"))):
        runs = group.of(task)
        for case in CASES:
            if case in runs and runs[case].finished:
                return group, runs[case]
    return None
