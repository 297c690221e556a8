"""`python -m benchmarks.tumours PHANTOM RUN [RUN ...]`: which tumours a classifier finds, by depth and diameter.

Each RUN is a folder that main_binary.py left, trained and tested on the phantom. Its test patients whose tumour is of
one depth and diameter are compared with all healthy ones; beside the AUC stand the tumours' mean warm spot, as the
phantom recorded it, and that in multiples of the camera's noise.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src import cli
from src.errors import UserError
from src.errors import run as run_script
from src.evaluation.auc import auc_over_pairs, wins_of
from src.evaluation.classification import by_patient
from src.evaluation.predictions import read_predictions
from src.files import read_json
from src.phantom.dataset import RECORD_FILE
from src.phantom.temperatures import NOISE
from src.phantom.tumour import DEPTHS, DIAMETERS

DEPTH_EDGES = np.array(DEPTHS)
DIAMETER_EDGES = np.linspace(DIAMETERS[0], DIAMETERS[-1], 4)


def scored_patients(run: Path) -> dict[str, tuple[int, float]]:
    """Label (1 sick) and probability of each test patient of a run, the mean over the patient's frames."""
    rows = [row for row in read_predictions(run / "results" / "predictions.csv") if row["part"] == "test"]
    labels, probabilities = (np.array([float(row[column]) for row in rows]) for column in ("label", "probability"))
    names, labels, probabilities = by_patient([row["patient"] for row in rows], labels, probabilities)
    return {name: (int(label), float(score)) for name, label, score in zip(names, labels, probabilities, strict=True)}


def table(tumours: Mapping[str, Mapping[str, Any]], runs: Mapping[str, Mapping[str, tuple[int, float]]]) -> str:
    """Markdown: a row for each cell of depth and diameter that holds a tumour, the strongest warm spot first.

    tumours: what the phantom recorded of each sick patient; runs: by name what `scored_patients` found, all of the same
    patients. Raises `UserError` where they are not.
    """
    patients = sorted(next(iter(runs.values())))
    for name, found in runs.items():
        if sorted(found) != patients or {p for p in patients if found[p][0]} != set(patients) & set(tumours):
            raise UserError(f"{name}: tested on other patients than the first run, or than this phantom has")
    cells: dict[tuple[int, int], list[str]] = {}
    for patient in set(patients) & set(tumours):
        of = tumours[patient]
        places = [
            int(np.clip(np.searchsorted(edges, of[key], "right") - 1, 0, len(edges) - 2))
            for key, edges in (("depth_mm", DEPTH_EDGES), ("diameter_mm", DIAMETER_EDGES))
        ]
        cells.setdefault((places[0], places[1]), []).append(patient)
    rises = {cell: float(np.mean([tumours[patient]["rise_c"] for patient in sick])) for cell, sick in cells.items()}
    lines = ["| depth, mm | diameter, mm | tumours | warm spot, C | contrast to noise | " + " | ".join(runs) + " |"]
    lines.append("| --- " * (5 + len(runs)) + "|")
    for cell in sorted(cells, key=lambda cell: -rises[cell]):
        depth, diameter = (
            f"{edges[place]:.0f} to {edges[place + 1]:.0f}"
            for place, edges in zip(cell, (DEPTH_EDGES, DIAMETER_EDGES), strict=True)
        )
        scores = [_auc(found, set(cells[cell])) for found in runs.values()]
        told = [depth, diameter, str(len(cells[cell])), f"{rises[cell]:.2f}", f"{rises[cell] / np.mean(NOISE):.1f}"]
        lines.append("| " + " | ".join([*told, *scores]) + " |")
    overall = [_auc(found, set(tumours)) for found in runs.values()]
    lines.append("| " + " | ".join(["all", "all", str(sum(map(len, cells.values()))), "", "", *overall]) + " |")
    return "\n".join(lines)


def _auc(found: Mapping[str, tuple[int, float]], sick: set[str]) -> str:
    """The AUC of these sick patients against all healthy ones, with its interval."""
    kept = [values for patient, values in sorted(found.items()) if not values[0] or patient in sick]
    labels, scores = (np.array(column) for column in zip(*kept, strict=True))
    wins = wins_of(labels, scores)
    return str(auc_over_pairs(labels, wins, np.ones_like(wins), 0).interval)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tumours", description=__doc__)
    parser.add_argument("phantom", type=Path, metavar="PHANTOM", help="folder of src.phantom.dataset")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folder of main_binary.py")
    options = parser.parse_args()
    record = read_json(options.phantom / RECORD_FILE, "the phantom's record")["patients"]
    tumours = {patient: of["tumour"] for patient, of in record.items() if of["tumour"]}
    print(table(tumours, {str(run): scored_patients(run) for run in options.runs}))


if __name__ == "__main__":
    run_script(main, cli.AFTER_INTERRUPTION)
