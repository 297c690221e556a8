"""The report's tables of how the runs were made: splits, training, settings, versions, and what audits found.

An audit says whether something other than the disease can tell sick from healthy.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from src.errors import some
from src.report.reading import mapping
from src.report.runs import Run, number
from src.report.tables import ABSENT, Cell, Table, as_list, digits, plain, plural, score_cell

_TOLD = "the diagnosis can be told from what is not anatomy: "
_FRAMES = {"heat": "heat maps", "gray": "gray frames"}


def divides_frames(run: Run) -> bool:
    """Whether a patient may be in several parts, as for regions in the published protocol."""
    return run.split.get("unit") == "frame"


def patients_of(run: Run, part: str) -> list[str] | None:
    """Who is in a part of the run's division (train, validation, tested); None where split.json does not say."""
    names = run.split.get(part)
    if not isinstance(names, list):
        return None
    patients = [str(name) for name in names]
    return sorted({name.partition(":")[0] for name in patients}) if divides_frames(run) else patients


def split_table(titled: Mapping[str, Run]) -> Table:
    """Patients, frames and diagnoses of the parts of each run."""
    rows = []
    for title, run in titled.items():
        cells = [Cell(title, run.name, kind="head")]
        for part, key in (("train", "train"), ("validation", "validation"), ("test", "tested")):
            patients = patients_of(run, key)
            counts = mapping(mapping(run.split.get("counts")).get(part))
            known = {name: int(count) for name in counts if (count := number(counts[name])) is not None}
            words = [plural(known["frames"], "frame")] if "frames" in known else []
            words += [f"{known[name]} {name}" for name in ("sick", "healthy", "undiagnosed") if known.get(name)]
            cells.append(ABSENT if patients is None else Cell(plural(len(patients), "patient"), ", ".join(words)))
        rows.append(cells)
    columns = ["run", "train", "validation", "test"]
    return Table("Split by patient", columns, _told(rows), "results/split.json of each run", text=True)


def _told(rows: list[list[Cell]]) -> list[list[Cell]]:
    """Rows without those that tell nothing, as of a pooled result, which has no split of its own."""
    return [row for row in rows if any(cell != ABSENT for cell in row[1:])]


def training_table(titled: Mapping[str, Run]) -> Table:
    """How long each run trained, and what was chosen on validation patients."""
    whole = {
        "epochs": "epochs",
        "best_epoch": "chosen epoch",
        "seconds": "seconds",
        "peak_memory_mb": "peak memory, MB",
    }
    columns = whole | {"threshold": "threshold", "temperature": "temperature"}
    rows = []
    for title, run in titled.items():
        cells = [Cell(title, run.name, kind="head")]
        for name in columns:
            value = run.results.value(name)
            cells.append(ABSENT if value is None else Cell(f"{value:.0f}" if name in whole else digits(value)))
        rows.append(cells)
    return Table("Training", ["run", *columns.values()], _told(rows), "results/metrics.json of each run")


def settings_tables(titled: Mapping[str, Run]) -> list[Table]:
    """The settings that all runs share, and those that differ; runs with the same settings share a column."""
    runs = [run for run in titled.values() if run.settings]
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    values = {key: [plain(run.settings.get(key, ABSENT.text)) for run in runs] for key in keys}
    shared = [key for key in keys if len(set(values[key])) == 1]
    differing = [key for key in keys if key not in shared]
    source = "logs/settings.yaml of each run"
    tables = []
    if shared:
        rows = [[Cell(key, kind="head"), Cell(values[key][0])] for key in shared]
        tables.append(Table("Settings of all runs", ["setting", "value"], rows, source, text=True))
    if differing:
        columns: dict[tuple[str, ...], list[str]] = {}
        for place, title in enumerate(title for title, run in titled.items() if run.settings):
            columns.setdefault(tuple(values[key][place] for key in differing), []).append(title)
        rows = [
            [Cell(key, kind="head"), *(Cell(column[place]) for column in columns)]
            for place, key in enumerate(differing)
        ]
        titles = ["setting", *("; ".join(names) for names in columns.values())]
        tables.append(Table("Settings that differ", titles, rows, source, text=True))
    return tables


def version_table(runs: Sequence[Run]) -> Table:
    """What the runs ran with; runs that ran with the same share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        packages = mapping(run.provenance.get("packages"))
        listed = ", ".join(f"{name} {plain(version)}" for name, version in packages.items())
        known = (str(run.provenance.get(key) or "unknown") for key in ("git_commit", "python", "platform"))
        rows.setdefault((*known, listed or "unknown"), []).append(run.name)
    cells = []
    for found, names in rows.items():
        head = Cell(plural(len(names), "run"), some(names, 3), kind="head")
        cells.append([head, *(Cell(text) for text in found)])
    columns = ["runs", "git commit", "Python", "platform", "packages"]
    return Table("Versions", columns, cells, "logs/settings.yaml of each run", text=True)


def audit_warnings(runs: Sequence[Run]) -> list[str]:
    """Each warning once, without the words that all of them begin with; one that not all audits share says of which
    frames it is."""
    found: dict[str, set[str]] = {}
    kinds = set[str]()
    for run in runs:
        if run.audit:
            kinds.add(kind := _FRAMES.get(str(run.settings.get("decoder_modality")), "other frames"))
            for text in as_list(run.audit.get("warnings")):
                found.setdefault(str(text).removeprefix(_TOLD), set()).add(kind)
    return [text if told == kinds else f"{text} in {' and '.join(sorted(told))}" for text, told in found.items()]


def audit_tables(runs: Sequence[Run]) -> list[Table]:
    """A table an audit; runs whose audits are the same share one."""
    shared: dict[str, list[Run]] = {}
    for run in runs:
        if run.audit:
            shared.setdefault(json.dumps(run.audit, sort_keys=True, default=str), []).append(run)
    return [_audit_table(found) for found in shared.values()]


def _audit_table(runs: Sequence[Run]) -> Table:
    audit = runs[0].audit
    rows = [_trait_row(trait) for trait in as_list(audit.get("traits")) if isinstance(trait, dict)]
    strata, same = (", ".join(map(str, as_list(audit.get(key)))) for key in ("strata", "same_in_all"))
    columns = ["trait", "AUC", "lower end, corrected for the number of traits", "p", f"AUC within {strata or 'strata'}"]
    counts = " and ".join(f"{audit[key]} {key}" for key in ("healthy", "sick") if number(audit.get(key)) is not None)
    told = [f"Of {counts} patients." if counts else ""]
    told += [f"Not answered: {audit['reason']}." if audit.get("reason") else ""]
    told += [f"The same in all patients, or missing: {same}." if same else ""]
    told += [
        "Each trait alone tells sick from healthy this well: far from 0.5, a decoder can learn it, not the disease."
    ]
    source = f"results/audit.json of {some([run.name for run in runs], 3)}"
    return Table("Traits of frames and patients", columns, rows, source, " ".join(text for text in told if text))


def _trait_row(trait: Mapping[str, Any]) -> list[Cell]:
    warned, missing = trait.get("warns") is True, number(trait.get("missing"))
    below = ["warning"] * warned + ([f"{missing:.0f} patients without"] if missing else [])
    corrected, p = (number(trait.get(key)) for key in ("corrected_low", "p"))
    return [
        Cell(str(trait.get("trait", "trait")), "; ".join(below), kind="head warning" if warned else "head"),
        _area(trait.get("auc")),
        *(ABSENT if value is None else Cell(digits(value)) for value in (corrected, p)),
        _area(trait.get("within"), with_pairs=True),
    ]


def _area(found: Any, with_pairs: bool = False) -> Cell:
    """The AUC over pairs of patients that `src.evaluation.auc.PairAUC` holds."""
    area = found if isinstance(found, dict) else {}
    cell, pairs = score_cell(None, area.get("interval")), number(area.get("pairs"))
    if not with_pairs or pairs is None:
        return cell
    return replace(cell, below=(f"{cell.below}; " if cell.below else "") + f"{pairs:.0f} pairs")
