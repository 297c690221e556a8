"""Prints the scores of all runs below a folder: `python -m src.evaluation.summary OUTPUT_ROOT`."""

import argparse
from pathlib import Path
from typing import Any

from src.errors import UserError, run
from src.files import read_json

_SHOWN = (
    "test/reconstruction",
    "test/patient_auc",
    "test/patient_average_precision",
    "test/patient_balanced_accuracy",
    "test/patient_auc_within_year",
    "test/patient_sensitivity",
    "test/patient_specificity",
    "test/patient_brier_calibrated",
    "test/frame_auc",
    "test/dice_macro",
    "test/iou_macro",
    "test/image_surface_dice_macro",
    "test/image_hausdorff95_macro",
    "test/pixel_accuracy",
    "epochs",
    "seconds",
    "peak_memory_mb",
)


def summary(root: Path) -> str:
    """A block of lines a run: its main scores and where its pictures lie; `UserError` if there is no finished run."""
    lines = []
    for path in sorted(root.glob("dmr_runs*/results/metrics.json")):
        scores = read_json(path, "the metrics")
        known = path.with_name("intervals.json")
        intervals = read_json(known, "the intervals") if known.exists() else {}
        lines.append(path.parent.parent.name)
        for name in _SHOWN:
            if scores.get(name) is not None:
                lines.append(f"  {name:32} {scores[name]:10.3f}{_ends(intervals.get(name))}")
        lines.append(f"  pictures: {path.parent / 'figures'}")
    if not lines:
        raise UserError(f"{root}: no finished run (dmr_runs*/results/metrics.json) there")
    return "\n".join(lines)


def _ends(interval: dict[str, Any] | None) -> str:
    """A score's 95% interval, where it has one."""
    if not interval or interval["low"] is None or interval["high"] is None:
        return ""
    return f"  ({interval['low']:.3f} to {interval['high']:.3f})"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m src.evaluation.summary", description=__doc__)
    parser.add_argument("root", type=Path, metavar="OUTPUT_ROOT", help="folder that holds the run folders")
    print(summary(parser.parse_args().root))


if __name__ == "__main__":
    run(main)
