"""Where runs lie: their folders below an output root, and the files of each."""

import re
from dataclasses import dataclass
from pathlib import Path

from src.errors import UserError
from src.files import read_json

SCRIPTS = {"latent": "main_latent.py", "classification": "main_binary.py", "segmentation": "main_seg.py"}
RUNS = {"latent": "dmr_runs", "classification": "dmr_runs_classification", "segmentation": "dmr_runs_seg"}
"""What the folder of a task's run begins with."""
PROTOCOLS = (r"kfold_\d+", "seeds", "published", "final")
"""Folders below an output root in which runs lie, in the order in which they are shown; single trials lie deeper."""
TRIAL = re.compile(r"(seed|fold)_\d+|baselines")
BELOW_ROOT = re.compile("|".join([*PROTOCOLS, TRIAL.pattern]))


class RunFiles:
    """Where the files of one run lie."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.best = root / "checkpoints" / "dmr_run.pty"  # of the epoch that was best on validation
        self.last = root / "checkpoints" / "last.pty"  # of the last finished epoch, to resume from
        # What predicting needs beside the weights: class names, and what training frames look like.
        self.prediction = root / "checkpoints" / "prediction.pty"
        self.logs = root / "logs"  # settings.yaml, train.log, warnings.jsonl, metrics.jsonl, TensorBoard events
        self.settings = self.logs / "settings.yaml"
        self.results = root / "results"  # what follows, and predictions.csv
        self.split = self.results / "split.json"  # copy of the shared split with this run's own division
        self.metrics = self.results / "metrics.json"  # the last file of a run
        self.intervals = self.results / "intervals.json"
        self.trials = self.results / "trials.json"  # those that are pooled here
        self.expected = self.results / "expected.json"  # what k-fold says of a final model
        self.figures = self.results / "figures"
        self.lock = root / ".lock"  # of who writes there


def pooled_in(folder: Path, runs: str = "dmr_runs_*") -> list[Path]:
    """Where trials are pooled: the folder itself, and runs in it."""
    return [path for path in (folder, *sorted(folder.glob(runs))) if RunFiles(path).trials.is_file()]


@dataclass(frozen=True)
class PooledTrial:
    """A finished run of k-fold."""

    root: Path
    seed: int


def trials_of_kfold(pooled: Path) -> list[PooledTrial]:
    """What is pooled in a folder of k-fold; its paths begin at the output root, which may have been moved since.

    Raises `UserError` where the record of them is missing, broken or another protocol's.
    """
    path = RunFiles(pooled).trials
    content = read_json(path, "the trials")
    try:
        protocol, trials = content["protocol"], content["trials"]
        found = [(Path(str(entry["folder"])).parts[1:], int(entry["seed"])) for entry in trials]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: no trials of k-fold there; run it again") from None
    if protocol != "kfold" or not found:
        raise UserError(f"{pooled}: trials of protocol {protocol}, not of k-fold")
    if any(".." in parts for parts, _ in found):
        raise UserError(f"{path}: names folders outside of its own")
    return [PooledTrial(pooled.parent.joinpath(*parts), seed) for parts, seed in found]


def output_root(folder: Path) -> Path:
    """The output root that a run, a trial or a protocol's folder lies below; any other folder is one itself."""
    root = folder.resolve().parent if RunFiles(folder).metrics.is_file() else folder.resolve()
    while BELOW_ROOT.fullmatch(root.name) or root.name.startswith("dmr_runs"):
        root = root.parent
    return root
