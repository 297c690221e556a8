"""The layout of the Database for Mastology Research: one folder a patient.

`<patient>/T<patient>.<visit>.<view>.<S|D>.<date>.<frame>.jpg` is a gray frame, `..._snap.jpg` its heat map (both in
either case of letters), and `description.html` holds the diagnosis.
"""

import html
import re
from datetime import date
from pathlib import Path, PurePath
from typing import ClassVar

from src.datasets.labels import label_of
from src.datasets.source import HEALTHY, SICK, Frame, Skipped, Source, walk
from src.errors import refuse_failing_device
from src.files import composed, decoded, open_plain
from src.settings import Modality

SNAP = "_snap"
DESCRIPTION = "description.html"
SUFFIXES = (".jpg", ".jpeg")
_NAME = re.compile(r"^T\d+\.\d+\.(\d+)\.[SD]\.(\d{4}-\d{2}-\d{2})?", re.IGNORECASE | re.ASCII)
# Possessive and with bounds, so that no text takes long: megabytes of spaces or of tags after the word, or of both.
_DIAGNOSIS = re.compile(
    r"Diagnosis\s{0,50}+\*?\s{0,50}+:(?:\s{1,500}+|<[^<>]{0,200}+>){0,50}+([^<]{1,200})", re.IGNORECASE
)
_DESCRIPTION_LIMIT = 1 << 20  # bytes; the database's own are a few kilobytes


def is_image(path: PurePath) -> bool:
    """Whether a file's name is that of a frame or a snapshot."""
    return path.suffix.lower() in SUFFIXES


def is_snapshot(path: PurePath) -> bool:
    """Whether an image is a heat snapshot rather than a gray frame."""
    return path.stem.lower().endswith(SNAP)


def frame_name(path: PurePath) -> str:
    """What a gray frame and its snapshot are both called."""
    return composed(path.stem[: -len(SNAP)] if is_snapshot(path) else path.stem)


def _view_and_day(name: str) -> tuple[int | None, date | None]:
    """What a file's name says of the camera's position and the day; None for what it does not say."""
    match = _NAME.match(name)
    if not match:
        return None, None
    try:
        return int(match[1]), date.fromisoformat(match[2]) if match[2] else None
    except ValueError:  # a 31st of February, or the 0000-00-00 that marks an unknown day
        return int(match[1]), None


def read_diagnosis(path: Path) -> str:
    """What a description.html says after `Diagnosis`, in small letters; empty where it says nothing.

    Raises OSError for a file that cannot be read.
    """
    with open_plain(path) as file:
        content = file.read(_DESCRIPTION_LIMIT)
    match = _DIAGNOSIS.search(decoded(content, "latin-1"))
    return html.unescape(match[1]).strip().lower() if match else ""


def description(diagnosis: str) -> str:
    """The text of the least description.html that holds a diagnosis."""
    return f"<html><body><p>Diagnosis*: <span>{diagnosis}<br></span></p></body></html>\n"


class DMRDataset(Source):
    """Frames below `root`, in one folder a patient, at any depth inside it; several visits lie in one folder."""

    looked_for: ClassVar[dict[Modality, str]] = {"gray": "<patient>/*.jpg", "heat": f"<patient>/*{SNAP}.jpg"}

    def list_frames(self) -> dict[Modality, list[Frame]]:
        """Every JPEG in a patient's folder; one whose name ends in `_snap` is a heat frame."""
        found: dict[Modality, list[Frame]] = {"gray": [], "heat": []}
        for inside in sorted(inside for inside, _ in walk(self.root, self.left_out)):
            if len(inside.parts) > 1 and is_image(inside):
                path = Path(inside)
                frame = Frame(path.parts[0], path, frame_name(path), *_view_and_day(path.name))
                found["heat" if is_snapshot(path) else "gray"].append(frame)
        return found

    def diagnoses(self, skipped: Skipped) -> dict[str, int]:
        """From each patient's description.html; what means neither Healthy nor Sick is left out."""
        folders: dict[str, set[str]] = {}
        for frame in (frame for frames in self.all_frames.values() for frame in frames):
            folders.setdefault(frame.patient, set()).add(frame.path.parts[0])
        found = {}
        for patient in self.patients:
            said = {self._diagnosis(self.root / folder / DESCRIPTION) for folder in sorted(folders[patient])}
            if len(said) > 1:  # two folders whose names look the same
                skipped.add("patients whose folders' descriptions differ", patient)
                continue
            (one,) = said
            if isinstance(one, int):
                found[patient] = one
            else:
                skipped.add(f"patients {one}", patient)
        return found

    @staticmethod
    def _diagnosis(path: Path) -> int | str:
        """HEALTHY or SICK as a description says; else in words why it does not."""
        if path.is_symlink():
            return f"whose {DESCRIPTION} is a link, which is not followed"
        try:
            word = read_diagnosis(path)
        except OSError as error:
            refuse_failing_device(error, path)
            return f"without a readable {DESCRIPTION}"
        label = label_of(word) if word.isalpha() else None  # "malignant" is certain, several words may not be
        if label in ("Healthy", "Sick"):
            return SICK if label == "Sick" else HEALTHY
        return f"whose diagnosis is {word!r}" if word else "whose description has no diagnosis"
