"""What the path of a file tells of its frame, in the layouts in which thermograms reach people."""

import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import PurePath

from src.datasets.dmr_dataset import SNAP
from src.datasets.labels import Label, label_of, patient_number
from src.files import composed

UNKNOWN_DATE = "0000-00-00"
UNKNOWN_VIEW = 0
NAMELESS = "the name tells no patient; --patient-from REGEX decides"
DATABASE_NAME = "T<patient>.<visit>.<view>.<S|D>.<date>.<frame>"

# A name counts only as a whole: "12-1" or "IR_0007" could be a patient, a visit or the camera's own counter.
_NAMES = {
    DATABASE_NAME: r"T(?P<patient>\d+)\.(?P<tail>\d+\.\d+\.[SD]\.\d{4}-\d{2}-\d{2}\.\d+)",
    "T<patient>": r"T(?P<patient>\d{4})",
    "<n>_<label>_<patient>_<age>": r"\d+_(?P<label>[^\W\d_]+)_(?P<patient>\d+)_\d+",
    "patient <patient>": r"(?:patient|paciente|subject)[ _-]*(?P<patient>\d+)(?:[ _].*)?",
    "PAC_<number>_DN<frame>": r"(?P<series>PAC)_(?P<patient>\d+)_(?P<kind>D)N(?P<frame>\d+)",
    "TFRON_V<number>_<date>_<frame>": r"(?P<front>TFRON)_(?P<series>V)(?P<patient>\d+)_(?P<dmy>[\d-]+)_(?P<frame>\d+)",
}
_PATTERNS = {rule: re.compile(pattern, re.IGNORECASE) for rule, pattern in _NAMES.items()}
_YEAR = re.compile(r"(19|20)\d\d")
_ISO_DATE = re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)")
_TAIL_OF_STEM = re.compile(rf"(\.(txt|csv|tsv)|{SNAP})$", re.IGNORECASE)


@dataclass(frozen=True)
class Clues:
    """What a path tells: the patient and by which rule, or "" and why not; the rest where the name holds it.

    `tail` is the part of the database's own name behind the patient; `label` is a class named in the file's name.
    """

    patient: str
    rule: str
    tail: str | None = None
    view: int = UNKNOWN_VIEW
    kind: str = "S"
    date: str = UNKNOWN_DATE
    frame: int | None = None
    label: Label | None = None


def frame_stem(path: PurePath) -> str:
    """A frame's name: `198-1` for 198-1.txt, 198-1.txt.jpg and 198-1_snap.jpg; a number at the end is no suffix."""
    return composed(_TAIL_OF_STEM.sub("", path.name if path.suffix[1:].isdecimal() else path.stem))


def folder_labels(path: PurePath) -> set[Label]:
    """The classes that the folders above a file are called."""
    return {label for part in path.parts[:-1] if (label := label_of(part))}


def read_clues(path: PurePath, pattern: re.Pattern[str] | None = None) -> Clues:
    """What a path inside the source tells; `pattern` replaces all rules for the patient by its group of that name.

    A numbered folder and the file's name must agree. The numbers of PAC_ and V names count an export, not patients of
    the database, so a numbered folder goes before them.
    """
    stem = frame_stem(path)
    named = _name_clues(stem)
    if pattern is not None:
        match = pattern.search(composed((path.parent / stem).as_posix()))
        text = match["patient"] if match else None
        if not text:
            return replace(named, patient="", rule="--patient-from does not match the name")
        return replace(named, patient=patient_number(text) or text, rule="--patient-from")
    numbers = (patient_number(part) for part in path.parts[:-1] if not _YEAR.fullmatch(part))
    folders = set(filter(None, numbers))
    if named.patient in folders or (named.patient and not folders):
        return named
    if not folders:
        rule = NAMELESS
    elif len(folders) > 1:
        rule = "several folders are numbered; --patient-from REGEX decides"
    elif named.patient.isdigit():
        rule = "name and folder tell different patients; --patient-from REGEX decides"
    else:
        return replace(named, patient=folders.pop(), rule="numbered folder")
    return replace(named, patient="", rule=rule)


def _name_clues(stem: str) -> Clues:
    day = _iso(*match.groups()) if (match := _ISO_DATE.search(stem)) else UNKNOWN_DATE
    for rule, pattern in _PATTERNS.items():
        match = pattern.fullmatch(stem)
        if match is None:
            continue
        parts = match.groupdict()
        label = label_of(parts["label"]) if "label" in parts else None
        if "label" in parts and label is None:
            continue
        if "dmy" in parts:
            day = _iso(*reversed(parts["dmy"].split("-")))
        return Clues(
            patient=parts.get("series", "").upper() + str(int(match["patient"])),
            rule=rule,
            tail=parts["tail"].upper() if "tail" in parts else None,
            view=1 if "front" in parts else UNKNOWN_VIEW,
            kind=parts.get("kind", "S").upper(),
            date=day,
            frame=int(parts["frame"]) if "frame" in parts else None,
            label=label,
        )
    return Clues("", "", date=day)


def _iso(*parts: str) -> str:
    """Year, month and day as an ISO date; the mark of an unknown one where they are none."""
    try:
        year, month, day = (int(part) for part in parts)
        return date(year, month, day).isoformat()
    except ValueError:
        return UNKNOWN_DATE
