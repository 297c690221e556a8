"""The layout of the Database for Mastology Research: one folder a patient.

`<patient>/T<patient>.<visit>.<view>.<S|D>.<date>.<frame>.jpg` is a gray frame, `..._snap.jpg` its heat map (both in
either case of letters), and `description.html` holds the diagnosis.
"""

import codecs
import html
import re
from datetime import date
from pathlib import Path, PurePath
from typing import ClassVar

from src.datasets.source import HEALTHY, SICK, Frame, Skipped, Source
from src.errors import refuse_failing_device
from src.files import open_plain
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


def is_image(path: Path) -> bool:
    """Whether a file's name is that of a frame or a snapshot."""
    return path.suffix.lower() in SUFFIXES


def is_snapshot(path: PurePath) -> bool:
    """Whether an image is a heat snapshot rather than a gray frame."""
    return path.stem.lower().endswith(SNAP)


def frame_name(path: Path) -> str:
    """What a gray frame and its snapshot are both called."""
    return path.stem[: -len(SNAP)] if is_snapshot(path) else path.stem


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
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    # Whatever else it is written in, the words that count are ASCII.
    text = content.decode("utf-16" if wide else "utf-8", errors="replace")
    match = _DIAGNOSIS.search(text)
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
        for path in sorted(self.root.glob("*/**/*")):
            if is_image(path):
                relative = path.relative_to(self.root)
                frame = Frame(relative.parts[0], relative, frame_name(path), *_view_and_day(path.name))
                found["heat" if is_snapshot(path) else "gray"].append(frame)
        return found

    def diagnoses(self, skipped: Skipped) -> dict[str, int]:
        """From each patient's description.html; other words than Healthy or Sick are left out."""
        found = {}
        for patient in self.patients:
            path = self.root / patient / DESCRIPTION
            if path.is_symlink():
                skipped.add(f"patients whose {DESCRIPTION} is a link, which is not followed", patient)
                continue
            try:
                word = read_diagnosis(path)
            except OSError as error:
                refuse_failing_device(error, path)
                skipped.add(f"patients without a readable {DESCRIPTION}", patient)
                continue
            if word in ("healthy", "sick"):
                found[patient] = SICK if word == "sick" else HEALTHY
            else:
                reason = (
                    f"patients whose diagnosis is {word!r}" if word else "patients whose description has no diagnosis"
                )
                skipped.add(reason, patient)
        return found
