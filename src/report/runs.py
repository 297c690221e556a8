"""What the report knows of a run and of the runs of one folder."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from src.places import RUNS, TRIAL

Task = Literal["latent", "classification", "segmentation"]
CASES = ("h_enc_h_dec", "g_enc_h_dec", "g_enc_g_dec", "h_enc_g_dec")  # in the order of the paper's tables
FOLDERS: dict[str, tuple[Task, str]] = {
    "dmr_runs": ("latent", "heat"),
    "dmr_runs_gray": ("latent", "gray"),
    **{f"{RUNS['classification']}_{case}": ("classification", case) for case in CASES},
    **{f"{RUNS['segmentation']}_{case}": ("segmentation", case) for case in CASES},
}
"""Run folders below an output root: task and case of each."""
BASELINES = {
    "random_encoder": "encoder with random weights",
    "raw_pixels": "raw pixels, no encoder",
    "latent_regression": "logistic regression on mean latents",
    "gray_regression": "logistic regression on gray levels",
}
FINAL = "final model: trained on all patients, the score is that of k-fold"
PUBLISHED = "published protocol, optimistic: the epoch was chosen on the test frames"


@dataclass(frozen=True)
class Results:
    """The files of one results folder."""

    folder: Path
    metrics: dict[str, Any]
    intervals: dict[str, Any]

    @property
    def finished(self) -> bool:
        """Whether there are scores."""
        return bool(self.metrics)

    def value(self, name: str) -> float | None:
        """A score of metrics.json."""
        return number(self.metrics.get(name))


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path
    name: str  # the folder below the output root
    task: Task
    case: str
    results: Results
    settings: dict[str, Any]
    provenance: dict[str, Any]
    history: list[dict[str, Any]]
    warnings: list[str]
    split: dict[str, Any]
    audit: dict[str, Any]
    trials: dict[str, Any]
    baselines: dict[str, Results]
    differences: dict[str, Any]
    pictures: tuple[Path, ...]
    predictions: list[dict[str, str]]  # the lines of predictions.csv without masks

    @property
    def published(self) -> bool:
        """Whether the epoch was chosen on the test patients."""
        protocols = (self.settings.get("protocol"), self.trials.get("protocol"))
        return "published" in protocols or "published" in Path(self.name).parts

    @property
    def finished(self) -> bool:
        """Whether there are scores."""
        return self.results.finished

    @property
    def trial_entries(self) -> list[dict[str, Any]]:
        """The trainings of a pooled result, as trials.json has them."""
        found = self.trials.get("trials")
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    @property
    def is_encoded(self) -> bool:
        """Whether it is a pretrained encoder, or a decoder that sees its latents."""
        return self.task == "latent" or self.settings.get("decoder_input", "latents") == "latents"

    @property
    def test_lines(self) -> list[dict[str, str]]:
        """Test predictions, of the first seed where there are several."""
        seed = next((line.get("seed") for line in self.predictions), None)
        return [line for line in self.predictions if line.get("part") == "test" and line.get("seed") == seed]

    @property
    def tested(self) -> tuple[int, int]:
        """How many patients and frames the scores are of."""
        frames = {(line.get("patient"), line.get("frame")) for line in self.test_lines}
        return len({patient for patient, _ in frames}), len(frames)


@dataclass(frozen=True)
class Group:
    """The runs of one folder: the output root, one trial, or the pooled result of a protocol."""

    name: str  # the folder below the output root, '' for itself
    runs: dict[str, Run]

    @property
    def is_trial(self) -> bool:
        """Whether it is one trial of a protocol rather than a result of its own."""
        return TRIAL.fullmatch(Path(self.name).name) is not None

    @property
    def is_final(self) -> bool:
        """Whether it holds the models that were trained on all patients, of which nothing was tested."""
        return Path(self.name).name == "final"

    @property
    def published(self) -> bool:
        """Whether its epochs were chosen on the test patients."""
        return "published" in Path(self.name).parts or any(run.published for run in self.runs.values())

    @property
    def label(self) -> str:
        """The protocol in words."""
        words = []
        for part in Path(self.name).parts or ("holdout",):
            kind, _, count = part.partition("_")
            known = {"kfold": f"{count}-fold cross-validation", "seeds": "holdout, several seeds", "final": FINAL}
            words.append(known.get(kind, " ".join(part.split("_"))))
        if self.published:
            words = [PUBLISHED, *(word for word in words if word not in ("published", "holdout"))]
        return ", ".join(words)

    def of(self, task: Task) -> dict[str, Run]:
        """The runs of a task by case."""
        return {run.case: run for run in self.runs.values() if run.task == task}


def class_names(run: Run) -> list[str]:
    """The classes in the order of their scores, the background among them."""
    return [name.removeprefix("test/dice/") for name in run.results.metrics if name.startswith("test/dice/")]


def number(value: Any) -> float | None:
    """A finite number as it is, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
