"""One run, one folder: checkpoints, logs and results, and the record of how it was made."""

import json
import logging
import math
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import torch
import yaml

from src.errors import UserError, one_line
from src.evaluation.summary import closing
from src.files import lock, read_json, read_plain, remove_partial, unlock, without_nan, write_json, write_text
from src.networks.precision import number_format
from src.places import RunFiles
from src.settings import REPOSITORY, RunSettings
from src.settings.file import read_record
from src.training import distributed

logger = logging.getLogger(__name__)

_KEPT_IN_TESTS = ("epochs", "best_epoch", "seconds", "peak_memory_mb")


class RunFolder(RunFiles):
    """The files of one run as scripts write them."""

    @property
    def is_finished(self) -> bool:
        """Whether it was trained to the end and tested after that."""
        return self.metrics.exists() and "epochs" in read_json(self.metrics, "the metrics")

    def open(self, settings: RunSettings, mode: str, may_replace: bool = False) -> None:
        """Make and lock the folders and log to the console and, in more detail, to logs/train.log.

        One process does it for all. Raises `UserError` where the folder cannot be written or another process writes
        there, where there is no trained run to test, or one that `may_replace` does not allow to train again.
        """
        if not distributed.writes():
            logging.basicConfig(level=logging.ERROR, force=True)
            return
        if mode == "test" and not (self.best.is_file() and self.split.is_file()):
            raise UserError(f"{self.root}: no trained run there; train it first: the same command with --mode train")
        if mode == "train" and not may_replace:
            self.refuse_to_replace()
        try:
            folders = (self.best.parent, self.logs, self.results, self.figures)
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            if not lock(self.lock):
                raise UserError(f"{self.root}: another run writes there; wait for its end, or use another output_root")
            for folder in folders:
                remove_partial(folder)
            to_file = _LogFile(self.logs / "train.log", encoding="utf-8", errors="backslashreplace")
            warnings = _LogFile(self.logs / "warnings.jsonl", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{self.root}: cannot write the run folder: {error.strerror or error}") from None
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        warnings.setFormatter(_JsonLine())
        warnings.setLevel(logging.WARNING)
        to_console = logging.StreamHandler()
        to_console.setFormatter(logging.Formatter("%(message)s"))
        to_console.setLevel(logging.INFO)
        logging.basicConfig(level=logging.INFO, handlers=[to_file, warnings, to_console], force=True)
        logging.captureWarnings(True)
        for package in ("src", "model"):
            logging.getLogger(package).setLevel(logging.DEBUG)
        logger.info("%s: %s of %s on %s frames", self.root, mode, settings.task, settings.frame_modality)

    def refuse_to_replace(self) -> None:
        """`UserError` where there is a run that training would overwrite."""
        if any(path.exists() for path in (self.last, self.best, self.metrics)):
            raise UserError(
                f"{self.root}: a run is there; --resume goes on with it, --overwrite removes it and starts afresh"
            )

    def begin(self, settings: RunSettings, command: list[str], afresh: bool, dtype: torch.dtype) -> None:
        """Write down how the training is made; if it starts afresh, remove what an earlier one left here.

        One that goes on in another number format than before, as `precision: auto` has it on another machine, warns.
        """
        self.metrics.unlink(missing_ok=True)  # which is there once a run is finished
        if afresh:
            self._clear()
        computed_in = number_format(dtype)
        before = computed_in if afresh else self._provenance().get("number_format") or computed_in
        if before != computed_in:
            logger.warning(
                "%s: was trained in %s until here and goes on in %s; precision: fp32 is the same on all machines",
                *(self.root, before, computed_in),
            )
        self.write_settings(settings, command, computed_in)

    def _provenance(self) -> dict[str, Any]:
        """What `write_settings` said of the run; nothing where it did not."""
        try:
            found = read_record(self.settings).get("provenance") if self.settings.exists() else None
        except UserError as error:  # the checkpoint holds all that the training needs
            logger.warning("%s; it is written anew", error)
            found = None
        return found if isinstance(found, dict) else {}

    def _clear(self) -> None:
        # The one to resume from goes first: without the others it would promise more than there is.
        left = [self.last, self.best, self.prediction, self.logs / "metrics.jsonl"]
        left += [self.results / name for name in ("intervals.json", "predictions.csv")]
        left += [self.root / "baselines" / "differences.json"]
        left += [*self.logs.glob("events.out.tfevents.*"), *self.figures.glob("*.png")]
        found = [path for path in left if path.exists()]
        for path in found:
            path.unlink()
        for folder in self.root.glob("baselines/*_regression"):  # of the encoder before
            shutil.rmtree(folder)
        if found:
            logger.warning("removed an earlier run's %s", ", ".join(sorted(path.name for path in found)))

    def write_settings(self, settings: RunSettings, command: list[str], computed_in: str | None = None) -> None:
        """logs/settings.yaml: the resolved settings, and under `provenance` what they ran with."""
        packages = ("torch", "torchvision", "numpy", "opencv-python-headless", "scikit-learn", "pycocotools")
        provenance: dict[str, Any] = {
            "command": " ".join(command),
            "git_commit": _git_commit(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "number_format": computed_in,
            "packages": {name: version(name) for name in packages},
        }
        content = {"settings": settings.model_dump(mode="json"), "provenance": provenance}
        self.logs.mkdir(parents=True, exist_ok=True)
        write_text(self.settings, yaml.safe_dump(content, sort_keys=False))

    def history(self) -> list[dict[str, Any]]:
        """The scores of each epoch, as logs/metrics.jsonl holds them; none, with a warning, if it is damaged."""
        path = self.logs / "metrics.jsonl"
        try:
            entries = [json.loads(line) for line in read_plain(path).decode("utf-8").splitlines()]
        except (OSError, ValueError, RecursionError) as error:
            logger.warning("%s: cannot be read (%s); the curves end at the best epoch", path, one_line(str(error), 200))
            return []
        if not all(isinstance(entry, dict) for entry in entries):
            logger.warning("%s: holds other things than epochs; the curves end at the best one", path)
            return []
        return entries

    def finish(self, metrics: dict[str, float]) -> None:
        """Write the scores to results/metrics.json, the last file of a run, free the folder, and log what matters.

        Of what is there already, what the training took stays; scores of an earlier test go.
        """
        for name, value in metrics.items():
            logger.debug("%-32s %s", name, "not defined" if math.isnan(value) else f"{value:.4f}")
        known = read_json(self.metrics, "the metrics") if self.metrics.exists() else {}
        kept = {name: value for name, value in known.items() if name in _KEPT_IN_TESTS}
        write_json(self.metrics, kept | without_nan(metrics))
        unlock(self.lock)
        logger.info("%s", closing(self.root))


class _LogFile(logging.FileHandler):
    """A log that ends the run where it cannot be written, instead of going on without it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, the name is logging's
        error = sys.exception()
        if isinstance(error, OSError):
            raise UserError(f"{self.baseFilename}: cannot write: {error.strerror or error}") from None
        super().handleError(record)


class _JsonLine(logging.Formatter):
    """A message as an object a line, for programs to read."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"level": record.levelname, "message": record.getMessage()})


def _git_commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # a copy without its history, or a machine without git
    return found.stdout.strip()
