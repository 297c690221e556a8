"""The final model: trained on all patients with labels, for as long as k-fold found, whose score is expected of it.

Nobody is left to choose an epoch or to test on, so nothing of it is scored. It lies in `final` below the output root.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high
from typing import Any, TypeVar

from src.errors import UserError
from src.evaluation.tested import chosen_out_of_fold, read_tested
from src.files import read_json, write_json
from src.networks import checkpoint as checkpoints
from src.places import SCRIPTS, RunFiles, trials_of_kfold
from src.settings import ClassificationSettings, DecoderRunSettings, SegmentationSettings
from src.settings.fields import Kind, fields_of
from src.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

S = TypeVar("S", ClassificationSettings, SegmentationSettings)
NOTE = "trained on all patients; the score is that of k-fold"


@dataclass(frozen=True)
class Expected:
    """What k-fold says of a model that is trained as its models were, on all patients."""

    kfold: Path  # its pooled run folder
    kept: tuple[int, ...]  # the epoch that each of its trainings kept
    scores: dict[str, float]  # its test scores, named `expected/...`, and a classifier's threshold and temperature
    intervals: dict[str, Any]
    patients: frozenset[str]  # who was tested

    @property
    def epochs(self) -> int:
        """For how long the final model trains: the median of the epochs that were kept."""
        return median_high(self.kept)

    def write(self, run: RunFolder, patients: Collection[str]) -> dict[str, float]:
        """Write results/expected.json and intervals.json, and return the scores; `patients` are those trained on."""
        changed = set(patients) ^ self.patients
        if changed:
            logger.warning(
                "%s: tested other patients than are trained on now (%d, such as %s): run it again for their score",
                *(self.kfold, len(changed), min(changed)),
            )
        content = {"note": NOTE, "kfold": str(self.kfold), "kept_epochs": self.kept, "epochs": self.epochs}
        write_json(run.expected, content)
        write_json(run.intervals, self.intervals)
        logger.info("%s (%s)", NOTE, self.kfold)
        return dict(self.scores)


def as_final(settings: S) -> S:
    """The settings of the final training: the last epoch is kept; an encoder sees the frames of all patients."""
    own = {"select_by": "last", "patience": None, "transductive": settings.pretrains_encoder}
    return settings.model_copy(update=own)


def expected(settings: S) -> Expected:
    """What k-fold below the same output root says.

    Raises `UserError` where there is none, it is not finished, or it was trained with other settings.
    """
    kfold = settings.model_copy(update={"protocol": "kfold"})
    folder = kfold.protocol_root / kfold.run_name
    files = RunFiles(folder)
    if not files.metrics.is_file():
        raise UserError(
            f"{folder}: no finished k-fold there, which says how long the final model trains and what it is expected "
            f"to score; run it first: python {SCRIPTS[settings.task]} --protocol kfold --folds {settings.folds}, "
            "with the same --cfg-path and --set"
        )
    trials = trials_of_kfold(folder)
    kept = tuple(_kept_epoch(trial.root, kfold.model_copy(update={"seed": trial.seed})) for trial in trials)
    metrics = read_json(files.metrics, "the metrics")
    intervals = read_json(files.intervals, "the intervals")
    lines = read_tested(settings, files.results)
    scores = _renamed(metrics)
    if isinstance(settings, ClassificationSettings):
        scores["threshold"], scores["temperature"] = chosen_out_of_fold(lines)
    return Expected(folder, kept, scores, _renamed(intervals), frozenset(line["patient"] for line in lines))


def _kept_epoch(folder: Path, settings: DecoderRunSettings) -> int:
    """The epoch that a trial kept; `UserError` where it was trained otherwise than the settings say."""
    best = RunFiles(folder).best
    found = checkpoints.load(best)
    free = fields_of(type(settings), Kind.MACHINE)
    own = {name: value for name, value in settings.model_dump(mode="json").items() if name not in free}
    checkpoints.refuse_other_settings(found.settings, own, best)
    return found.best_epoch


def _renamed(scores: dict[str, Any]) -> dict[str, Any]:
    """Test scores as those that are expected."""
    return {
        name.replace("test/", "expected/", 1): value
        for name, value in scores.items()
        if name.startswith("test/") and value is not None
    }
