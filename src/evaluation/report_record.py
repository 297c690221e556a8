"""The report's tables of how the runs were made: splits, training, settings, versions."""

from collections.abc import Mapping, Sequence

from src.evaluation.report_runs import Run
from src.evaluation.report_tables import ABSENT, Cell, Table, digits, plain, plural, some


def split_table(runs: Sequence[Run], counted: Mapping[str, Mapping[str, str]]) -> Table:
    """Patients, frames and diagnoses of the parts of each run; `counted` are the frames of predictions.csv by run."""
    rows = []
    for run in runs:
        cells = [Cell(f"{run.task}, {run.case}", run.name, kind="head")]
        for logged, key in (("train", "train"), ("validation", "validation"), ("test", "tested")):
            patients = run.split.get(key)
            if not isinstance(patients, list):
                cells.append(ABSENT)
                continue
            frames, logged_patients, diagnoses = run.log.parts.get(logged, (0, -1, ""))
            below = counted.get(run.name, {}).get(logged, "")
            if logged_patients == len(patients):  # the log is this split's
                below = f"{plural(frames, 'frame')}; {diagnoses}"
            cells.append(Cell(plural(len(patients), "patient"), below))
        rows.append(cells)
    source = "results/split.json (patients), logs/train.log and results/predictions.csv (frames, diagnoses) of each run"
    return Table("Split by patient", ["run", "train", "validation", "test"], rows, source, text=True)


def training_table(runs: Sequence[Run]) -> Table:
    """How long each run trained, and what was chosen on validation patients."""
    columns = {
        "epochs": "epochs",
        "best_epoch": "chosen epoch",
        "seconds": "seconds",
        "peak_memory_mb": "peak memory, MB",
        "threshold": "threshold",
        "temperature": "temperature",
    }
    rows = []
    for run in runs:
        found = [run.results.value(name) for name in columns]
        cells = [ABSENT if value is None else Cell(digits(value)) for value in found]
        for place, name in enumerate(columns):
            value = found[place]
            if value is not None and name in ("epochs", "best_epoch", "seconds", "peak_memory_mb"):
                cells[place] = Cell(f"{value:.0f}")
        rows.append([Cell(f"{run.task}, {run.case}", run.name, kind="head"), *cells])
    return Table("Training", ["run", *columns.values()], rows, "results/metrics.json of each run")


def settings_tables(runs: Sequence[Run]) -> list[Table]:
    """The settings that all runs share, and those that differ."""
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    values = {key: [plain(run.settings.get(key, ABSENT.text)) for run in runs] for key in keys}
    shared = [key for key in keys if len(set(values[key])) == 1]
    source = "logs/settings.yaml of each run"
    tables = []
    if shared:
        rows = [[Cell(key, kind="head"), Cell(values[key][0])] for key in shared]
        tables.append(Table("Settings of all runs", ["setting", "value"], rows, source, text=True))
    if len(shared) < len(keys):
        rows = [[Cell(key, kind="head"), *(Cell(value) for value in values[key])] for key in keys if key not in shared]
        columns = ["setting", *(f"{run.task} {run.case}" for run in runs)]
        tables.append(Table("Settings that differ", columns, rows, source, text=True))
    return tables


def version_table(runs: Sequence[Run]) -> Table:
    """What the runs ran with; runs that ran with the same share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        packages = run.provenance.get("packages")
        listed = ", ".join(f"{name} {plain(version)}" for name, version in packages.items()) if packages else ""
        known = (str(run.provenance.get(key) or "unknown") for key in ("git_commit", "python", "platform"))
        rows.setdefault((*known, listed or "unknown"), []).append(run.name)
    cells = []
    for found, names in rows.items():
        head = Cell(plural(len(names), "run"), some(names), kind="head")
        cells.append([head, *(Cell(text) for text in found)])
    columns = ["runs", "git commit", "Python", "platform", "packages"]
    return Table("Versions", columns, cells, "logs/settings.yaml of each run", text=True)
