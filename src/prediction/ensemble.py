"""The models of all folds of k-fold as one predictor: mean probabilities, and then the one decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from src.errors import UserError, some
from src.evaluation.predictions import read_predictions
from src.places import RUNS, RunFiles, pooled_in, trials_of_kfold
from src.prediction.trained import OUT_OF_FOLD, Frame, Said, Task, Trained, load_trained
from src.training.run_folder import RunFolder


@dataclass(frozen=True)
class Ensemble(Trained):
    """Several runs of the same settings; what they have in common is the first one's, `run` is the pooled folder."""

    members: tuple[Trained, ...] = ()

    @property
    def name(self) -> str:
        """What the page calls it."""
        folder = "" if self.run is None else f" of {self.run.root.parent.name}/{self.run.root.name}"
        return f"the {self.models} models{folder} together (mean of their probabilities)"

    @property
    def models(self) -> int:
        """How many models answer together."""
        return len(self.members)

    @property
    def chosen_on(self) -> str:
        """Whose frames the threshold and the calibration were chosen on."""
        return OUT_OF_FOLD

    def models_taught_on(self, patient: str) -> int:
        """How many of them were trained or chosen on a patient."""
        return sum(member.models_taught_on(patient) for member in self.members)

    def say(self, frames: Sequence[Frame]) -> Said:
        """Logits of the members' mean probabilities, and the mean of their distances, each by its own threshold."""
        said = [member.say(frames) for member in self.members]
        views = [_together(list(of_view)) for of_view in zip(*(one.views for one in said), strict=True)]
        by_member = zip(*(one.distances for one in said), strict=True)
        distances = [self._distance(list(of_frame)) for of_frame in by_member]
        explained = [one.explained for one in said if one.explained is not None]
        together = None
        if explained:  # the features are the same, whatever each member makes of them
            together = explained[0]._replace(shares=torch.stack([each.shares for each in explained]).mean(0))
        return Said(_together([one.logits for one in said]), views, said[0].boxes, distances, together)

    def _distance(self, distances: Sequence[float | None]) -> float | None:
        if self.record.typicality is None:
            return None
        limits = [member.record.typicality for member in self.members]
        shares = [
            distance / limit.threshold
            for distance, limit in zip(distances, limits, strict=True)
            if distance is not None and limit is not None
        ]
        return sum(shares) / len(shares) * self.record.typicality.threshold

    def metrics(self) -> dict[str, Any]:
        """The scores that the folds have together, with a classifier's threshold and temperature.

        These are chosen on what was said of patients by models that had not seen them.
        """
        found = super().metrics()
        if self.run is not None and not self.record.classes.names:
            from src.evaluation.tested import chosen_out_of_fold  # with scipy, scikit-learn and matplotlib: a second

            lines = read_predictions(self.run.results / "predictions.csv")
            found["threshold"], found["temperature"] = chosen_out_of_fold(lines)
        return found


def _together(logits: Sequence[torch.Tensor]) -> torch.Tensor:
    """Logits, [B] or [B, K, H, W], of the mean probability."""
    if logits[0].ndim == 1:
        return torch.stack([each.double().sigmoid() for each in logits]).mean(0).logit()
    probabilities = torch.stack([each.softmax(1) for each in logits]).mean(0)
    return probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()


def load_run(folder: Path, task: Task, device: str = "auto") -> Trained:
    """Read a run folder, or a folder of k-fold, whose models then answer together.

    Raises `UserError` where there is no such run, it is of the other task, or it does not fit together.
    """
    pooled = pooled_folder(folder, task)
    if pooled is None:
        return load_trained(folder, task, device)
    members = tuple(load_trained(trial.root, task, device) for trial in trials_of_kfold(pooled))
    first = members[0]
    differing = [one.run.root for one in members if one.run is not None and _kind(one) != _kind(first)]
    if differing:
        raise UserError(f"{differing[0]}: of other settings than the first fold; train all folds again")
    palettes = {member.palette for member in members}
    if len(palettes) > 1:
        raise UserError(
            f"{pooled}: the folds took their heat maps for drawn in {some(sorted(palettes))}; say which it is with "
            "--set palette=NAME and train again"
        )
    known = [member.record.typicality for member in members if member.record.typicality is not None]
    typicality = None
    if known:
        typicality = replace(known[0], threshold=sum(each.threshold for each in known) / len(known))
    shared = {each.name: getattr(first, each.name) for each in fields(Trained)}
    shared |= {"run": RunFolder(pooled), "record": replace(first.record, typicality=typicality), "best_epoch": 0}
    return Ensemble(**shared, members=members)


def pooled_folder(folder: Path, task: Task) -> Path | None:
    """The folder where k-fold's trials are pooled: this one or the one run of the task in it; None where it is neither.

    Raises `UserError` where several runs of the task lie there, or trials of another protocol are pooled.
    """
    if RunFiles(folder).best.is_file():
        return None
    found = pooled_in(folder, f"{RUNS[task]}_*")
    if len(found) > 1:
        names = some([path.name for path in found])
        raise UserError(f"{folder}: several runs lie there; name one of them: {names}")
    return found[0] if found and folder.is_dir() else None


def _kind(trained: Trained) -> tuple[Any, ...]:
    return trained.modality, trained.size, trained.decide, trained.sees_levels, trained.record.classes
