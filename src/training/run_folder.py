"""One run, one folder: checkpoints, logs and results, and the record of how it was made."""

import json
import logging
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from src.errors import UserError
from src.files import read_json, without_nan, write_json, write_text
from src.settings import REPOSITORY, RunSettings
from src.training import distributed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFolder:
    """Where the files of one run lie."""

    root: Path

    @property
    def best(self) -> Path:
        """Checkpoint of the epoch with the lowest validation loss."""
        return self.root / "checkpoints" / "dmr_run.pty"

    @property
    def last(self) -> Path:
        """Checkpoint of the last finished epoch, to resume from."""
        return self.root / "checkpoints" / "last.pty"

    @property
    def prediction(self) -> Path:
        """What predicting needs beside the weights: class names, and what training frames look like."""
        return self.root / "checkpoints" / "prediction.pty"

    @property
    def logs(self) -> Path:
        """settings.yaml, train.log, metrics.jsonl, TensorBoard events."""
        return self.root / "logs"

    @property
    def results(self) -> Path:
        """split.json, metrics.json, predictions.csv."""
        return self.root / "results"

    @property
    def figures(self) -> Path:
        """Pictures."""
        return self.results / "figures"

    @property
    def split(self) -> Path:
        """Copy of the shared split with this run's own division."""
        return self.results / "split.json"

    def open(self, settings: RunSettings, mode: str) -> None:
        """Make the folders and log to the console and, in more detail, to logs/train.log; one process does it for all.

        Raises `UserError` where the folder cannot be written, or where there is no trained run to test.
        """
        if not distributed.writes():
            logging.basicConfig(level=logging.ERROR, force=True)
            return
        if mode == "test" and not (self.best.is_file() and self.split.is_file()):
            raise UserError(f"{self.root}: no trained run there; train it first: the same command with --mode train")
        try:
            for folder in (self.best.parent, self.logs, self.figures):
                folder.mkdir(parents=True, exist_ok=True)
            to_file = logging.FileHandler(self.logs / "train.log", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UserError(f"{self.root}: cannot write the run folder: {error.strerror or error}") from None
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        to_console = logging.StreamHandler()
        to_console.setFormatter(logging.Formatter("%(message)s"))
        to_console.setLevel(logging.INFO)
        logging.basicConfig(level=logging.INFO, handlers=[to_file, to_console], force=True)
        logging.captureWarnings(True)
        for package in ("src", "model"):
            logging.getLogger(package).setLevel(logging.DEBUG)
        logger.info("%s: %s of %s on %s frames", self.root, mode, settings.task, settings.frame_modality)

    def begin(self, settings: RunSettings, command: list[str], afresh: bool) -> None:
        """Write down how the training is made; if it starts afresh, remove what an earlier one left here."""
        self._write_settings(settings, command)
        if afresh:
            self._clear()

    def _clear(self) -> None:
        left = [self.best, self.last, self.prediction, self.logs / "metrics.jsonl"]
        left += [self.results / name for name in ("metrics.json", "intervals.json", "predictions.csv")]
        left += [self.root / "baselines" / "differences.json"]
        left += [*self.logs.glob("events.out.tfevents.*"), *self.figures.glob("*.png")]
        found = [path for path in left if path.exists()]
        for path in found:
            path.unlink()
        for folder in self.root.glob("baselines/*_regression"):  # of the encoder before
            shutil.rmtree(folder)
        if found:
            logger.warning("removed an earlier run's %s", ", ".join(sorted(path.name for path in found)))

    def _write_settings(self, settings: RunSettings, command: list[str]) -> None:
        """logs/settings.yaml: the resolved settings, and under `provenance` what they ran with."""
        packages = ("torch", "torchvision", "numpy", "opencv-python-headless", "scikit-learn", "pycocotools")
        provenance: dict[str, Any] = {
            "command": " ".join(command),
            "git_commit": _git_commit(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": {name: version(name) for name in packages},
        }
        content = {"settings": settings.model_dump(mode="json"), "provenance": provenance}
        write_text(self.logs / "settings.yaml", yaml.safe_dump(content, sort_keys=False))

    def history(self) -> list[dict[str, Any]]:
        """The scores of each epoch, as logs/metrics.jsonl holds them; none, with a warning, where it is gone."""
        path = self.logs / "metrics.jsonl"
        if not path.exists():
            logger.warning("%s: gone; the curves end at the best epoch", path)
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def write_metrics(self, metrics: dict[str, float]) -> None:
        """Add to results/metrics.json and log; keys already there are replaced, others stay."""
        for name, value in metrics.items():
            logger.info("%-32s %.4f", name, value)
        path = self.results / "metrics.json"
        known = read_json(path, "the metrics") if path.exists() else {}
        write_json(path, known | without_nan(metrics))


def _git_commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # a copy without its history, or a machine without git
    return found.stdout.strip()
