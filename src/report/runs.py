"""What the run folders below an output root hold: what is absent stays empty, what is broken is noted."""

import csv
import json
import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from src.errors import UserError
from src.settings_file import read_record

logger = logging.getLogger(__name__)

Task = Literal["latent", "classification", "segmentation"]
CASES = ("h_enc_h_dec", "g_enc_h_dec", "g_enc_g_dec", "h_enc_g_dec")
"""In the order of the paper's tables."""
FOLDERS: dict[str, tuple[Task, str]] = {
    "dmr_runs": ("latent", "heat"),
    "dmr_runs_gray": ("latent", "gray"),
    **{f"dmr_runs_classification_{case}": ("classification", case) for case in CASES},
    **{f"dmr_runs_seg_{case}": ("segmentation", case) for case in CASES},
}
"""Run folders below an output root: task and case of each."""
BASELINES = ("random_encoder", "raw_pixels", "latent_regression", "gray_regression")
PUBLISHED = "published protocol, optimistic: the epoch was chosen on the test frames"

# Only these are entered: the output root can be the repository, with a whole database in it.
_TRIAL_ROOT = re.compile(r"(seed|kfold|fold)_\d+|seeds|published")
_LOGGED_PART = re.compile(r" INFO (train|validation|test): (\d+) frames of (\d+) patients \((.*)\)$")
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d):\d\d,\d{3} ([A-Z]+) (.*)")
_LONGEST_FIELD = 2**27  # a mask's run lengths can pass the 128 KiB that the csv module allows by default


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
class Log:
    """What logs/train.log tells."""

    first: str = ""
    last: str = ""
    """Day and minute of the first and the last line."""
    parts: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """Frames, patients and diagnoses of each part."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: Path
    name: str
    """The folder below the output root."""
    task: Task
    case: str
    results: Results
    settings: dict[str, Any]
    provenance: dict[str, Any]
    history: list[dict[str, Any]]
    split: dict[str, Any]
    audit: dict[str, Any]
    trials: dict[str, Any]
    baselines: dict[str, Results]
    differences: dict[str, Any]
    pictures: tuple[Path, ...]
    log: Log

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
    def is_encoded(self) -> bool:
        """Whether it is a pretrained encoder, or a decoder that sees its latents."""
        latents = self.settings.get("decoder_input", "latents") == "latents"
        return self.task == "latent" or (latents and self.settings.get("head") != "spots")


@dataclass(frozen=True)
class Group:
    """The runs of one folder: the output root, one trial, or the pooled result of a protocol."""

    name: str
    """The folder below the output root, '' for itself."""
    runs: dict[str, Run]

    @property
    def is_trial(self) -> bool:
        """Whether it is one trial of a protocol rather than a result of its own."""
        return re.fullmatch(r"(seed|fold)_\d+", Path(self.name).name) is not None

    @property
    def published(self) -> bool:
        """Whether its epochs were chosen on the test patients."""
        return "published" in Path(self.name).parts or any(run.published for run in self.runs.values())

    @property
    def label(self) -> str:
        """The protocol in words."""
        words = []
        for part in Path(self.name).parts or ("",):
            kind, _, count = part.partition("_")
            words.append(
                {
                    "kfold": f"{count}-fold cross-validation",
                    "fold": f"fold {count}",
                    "seed": f"seed {count}",
                    "seeds": "holdout, several seeds",
                    "published": "",
                    "": "holdout",
                }[kind]
            )
        if self.published:
            words = [PUBLISHED, *(word for word in words if word not in ("", "holdout"))]
        return ", ".join(words)

    def of(self, task: Task) -> dict[str, Run]:
        """The runs of a task by case."""
        return {run.case: run for run in self.runs.values() if run.task == task}


def number(value: Any) -> float | None:
    """A finite number as it is, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


class Reader:
    """Reads what is there; what is broken is logged and kept in `problems`, which the report shows."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []

    def groups(self) -> list[Group]:
        """The output root and the trials and pooled results below it, those without a run left out."""
        found = [Group(self.below(folder), self._runs(folder)) for folder in _roots(self.root)]
        # Optimistic results come last.
        return sorted((group for group in found if group.runs or not group.name), key=lambda group: group.published)

    def below(self, path: Path) -> str:
        """A path as the report shows it: from the output root on."""
        name = path.relative_to(self.root).as_posix()
        return "" if name == "." else name

    def predictions(self, run: Run) -> list[dict[str, str]]:
        """The lines of predictions.csv."""
        path = run.results.folder / "predictions.csv"
        if not path.is_file():
            return []
        csv.field_size_limit(_LONGEST_FIELD)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return [{key: value or "" for key, value in line.items() if key} for line in csv.DictReader(file)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            self.note(path, error)
            return []

    def _runs(self, root: Path) -> dict[str, Run]:
        # A folder without one of these was only made, or holds something else.
        return {
            name: self._run(root / name, *kind)
            for name, kind in FOLDERS.items()
            if any((root / name / made).is_file() for made in ("results/metrics.json", "logs/settings.yaml"))
        }

    def _run(self, folder: Path, task: Task, case: str) -> Run:
        record = self._record(folder / "logs" / "settings.yaml")
        results = folder / "results"
        baselines = {path.name: path / "results" for path in sorted((folder / "baselines").glob("*")) if path.is_dir()}
        return Run(
            folder=folder,
            name=self.below(folder),
            task=task,
            case=case,
            results=self._results(results),
            settings=_mapping(record.get("settings")),
            provenance=_mapping(record.get("provenance")),
            history=self._history(folder / "logs" / "metrics.jsonl"),
            split=self._json(results / "split.json"),
            audit=self._json(results / "audit.json"),
            trials=self._json(results / "trials.json"),
            baselines={name: self._results(path) for name, path in baselines.items()},
            differences=self._json(folder / "baselines" / "differences.json"),
            pictures=tuple(sorted((results / "figures").glob("*.png"))),
            log=self._log(folder / "logs" / "train.log"),
        )

    def _results(self, folder: Path) -> Results:
        return Results(folder, self._json(folder / "metrics.json"), self._json(folder / "intervals.json"))

    def _json(self, path: Path) -> dict[str, Any]:
        text = self._text(path)
        if not text:
            return {}
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            self.note(path, error)
            return {}
        if not isinstance(content, dict):
            self.note(path, f"holds {type(content).__name__}, not names with values")
        return _mapping(content)

    def _record(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            return {}
        try:
            return read_record(path)
        except UserError as error:
            logger.warning("%s", error)
            self.problems.append(str(error))
            return {}

    def _history(self, path: Path) -> list[dict[str, Any]]:
        entries = []
        for place, line in enumerate(self._text(path).splitlines(), start=1):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                self.note(path, f"line {place}: {error}")  # as of a run that was killed while it wrote
                continue
            entries.append(_mapping(entry))
        return entries

    def _log(self, path: Path) -> Log:
        stamps, parts, warnings = [], {}, []
        for line in self._text(path).splitlines():
            if found := _STAMP.match(line):
                stamps.append(found[1])
                if found[2] in ("WARNING", "ERROR"):
                    warnings.append(found[3])
            if part := _LOGGED_PART.search(line):
                parts[part[1]] = (int(part[2]), int(part[3]), part[4])
        return Log(min(stamps, default=""), max(stamps, default=""), parts, tuple(dict.fromkeys(warnings)))

    def _text(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8") if path.is_file() else ""
        except (OSError, UnicodeDecodeError) as error:
            self.note(path, error)
            return ""

    def note(self, path: Path, error: Exception | str) -> None:
        """Log that a file is left out, and keep it for the page."""
        text = f"{self.below(path)}: left out what cannot be read: {error}"
        logger.warning("%s", text)
        self.problems.append(text)


def finished_at(run: Run) -> str:
    """Day and minute of the last line of the log, or of the scores' file where there is no log."""
    if run.log.last:
        return run.log.last
    written = (run.results.folder / "metrics.json").stat().st_mtime
    return datetime.fromtimestamp(written).strftime("%Y-%m-%d %H:%M")


def _roots(root: Path) -> Iterator[Path]:
    yield root
    for path in sorted(root.iterdir()):
        if path.is_dir() and _TRIAL_ROOT.fullmatch(path.name):
            yield from _roots(path)


def _mapping(value: Any) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
