"""Reads the run folders below an output root: what is absent stays empty, what is broken is noted."""

import csv
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from src.errors import UserError
from src.places import BELOW_ROOT, RunFiles
from src.report.runs import FOLDERS, Group, Results, Run, Task
from src.settings.file import read_record

logger = logging.getLogger(__name__)

_LONGEST_FIELD = 2**27  # a mask's run lengths can pass the 128 KiB that the csv module allows by default
_MASKS = ("truth", "predicted")


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

    def note(self, path: Path, error: Exception | str) -> None:
        """Log that a file is left out, and keep it for the page."""
        text = f"{self.below(path)}: left out what cannot be read: {error}"
        logger.warning("%s", text)
        self.problems.append(text)

    def _runs(self, root: Path) -> dict[str, Run]:
        # A folder without one of these was only made, or holds something else.
        return {
            name: self._run(root / name, *kind)
            for name, kind in FOLDERS.items()
            if (found := RunFiles(root / name)).metrics.is_file() or found.settings.is_file()
        }

    def _run(self, folder: Path, task: Task, case: str) -> Run:
        files = RunFiles(folder)
        record = self._record(files.settings)
        baselines = {path.name: path / "results" for path in sorted((folder / "baselines").glob("*")) if path.is_dir()}
        warnings = [str(line.get("message")) for line in self._json_lines(files.logs / "warnings.jsonl")]
        return Run(
            folder=folder,
            name=self.below(folder),
            task=task,
            case=case,
            results=self._results(files.results),
            settings=mapping(record.get("settings")),
            provenance=mapping(record.get("provenance")),
            history=self._json_lines(files.logs / "metrics.jsonl"),
            warnings=list(dict.fromkeys(warnings)),
            split=self._json(files.split),
            audit=self._json(files.results / "audit.json"),
            trials=self._json(files.trials),
            baselines={name: self._results(path) for name, path in baselines.items()},
            differences=self._json(folder / "baselines" / "differences.json"),
            pictures=tuple(sorted(files.figures.glob("*.png"))),
            predictions=self._predictions(files.results / "predictions.csv"),
        )

    def _results(self, folder: Path) -> Results:
        return Results(folder, self._json(folder / "metrics.json"), self._json(folder / "intervals.json"))

    def _predictions(self, path: Path) -> list[dict[str, str]]:
        csv.field_size_limit(_LONGEST_FIELD)
        lines = self._read(path, lambda text: list(csv.DictReader(io.StringIO(text, newline=""))), [])
        return [{key: value or "" for key, value in line.items() if key and key not in _MASKS} for line in lines]

    def _record(self, path: Path) -> dict[str, Any]:
        try:
            return read_record(path) if path.is_file() else {}
        except UserError as error:
            logger.warning("%s", error)
            self.problems.append(str(error))
            return {}

    def _json(self, path: Path) -> dict[str, Any]:
        content = self._read(path, lambda text: json.loads(text or "{}"), {})
        if not isinstance(content, dict):
            self.note(path, f"holds {type(content).__name__}, not names with values")
        return mapping(content)

    def _json_lines(self, path: Path) -> list[dict[str, Any]]:
        entries = []
        for place, line in enumerate(self._read(path, str.splitlines, []), start=1):
            try:
                entries.append(mapping(json.loads(line)))
            except (ValueError, RecursionError) as error:
                self.note(path, f"line {place}: {error}")  # as of a run that was killed while it wrote
        return entries

    def _read(self, path: Path, parse: Callable[[str], Any], absent: Any) -> Any:
        """What is made of a file's text; `absent` where there is none, and with a note where it cannot be read."""
        try:
            return parse(path.read_text(encoding="utf-8")) if path.is_file() else absent
        except (OSError, ValueError, RecursionError, csv.Error) as error:
            self.note(path, error)
            return absent


def mapping(value: Any) -> dict[str, Any]:
    """Names with values as they are, anything else as none."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def _roots(root: Path) -> Iterator[Path]:
    yield root
    for path in sorted(root.iterdir()):  # which can be the repository, with a whole database in it
        if path.is_dir() and BELOW_ROOT.fullmatch(path.name):
            yield from _roots(path)
