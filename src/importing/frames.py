"""Makes one imported frame: its matrix, gray frame and snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.datasets.dmr_dataset import SNAP, is_snapshot
from src.datasets.formats import Role, temperatures_of
from src.datasets.images import picture_bytes, read_image
from src.datasets.matrices import gray_levels, matrix_bytes
from src.datasets.snapshots import encode_jpeg, is_of_no_palette, make_snapshot, read_gray
from src.errors import UserError
from src.files import atomic_write
from src.importing.plan import Plan, PlannedFrame

Window = tuple[float, float]
"""Temperatures in degrees Celsius: that of black and colder, that of white and warmer."""

_CLIPPED = 0.01  # share of a frame's values above the window that is worth a word
_STRAIGHT = 0.95  # correlation of gray levels and degrees: 0.999 where black to white is cold to warm


@dataclass(frozen=True)
class Row:
    """A line of import.csv: a file of the source and one that was made from it, or why there is none.

    `low` and `high` are the window in degrees Celsius of a gray frame that was drawn.
    """

    original: str
    new: str = ""
    patient: str = ""
    patient_in_source: str = ""
    label: str = ""
    low: str = ""
    high: str = ""
    note: str = ""


@dataclass
class Made:
    """What became of one frame: a row a file, and remarks to be counted over all frames."""

    rows: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failed: str = ""
    """Why there is no such frame."""


@dataclass(frozen=True)
class _Output:
    """A file to write: what follows the frame's name, its content, and the source file that it comes from."""

    ending: str
    content: bytes
    role: Role
    window: Window | None = None
    note: str = ""


def write_frame(plan: Plan, frame: PlannedFrame, out: Path, window: Window | None, palette: str) -> Made:
    """Write the files of one frame to its patient's folder below `out`.

    JPEGs and matrices in degrees Celsius are copied byte for byte; other pictures are kept without loss, temperatures
    of any other file as such a matrix. A gray frame is drawn from the temperatures where there is no gray
    picture or where a window is asked for, a snapshot where there is none, over the frame's own range. A frame that
    cannot be read is told in its rows; raises UserError where `out` cannot be written.
    """
    made, folder, notes = Made(), plan.folders[frame.patient], dict[Role, str]()
    label = "contradicting" if frame.patient in plan.labels.contradictions else plan.labels.of.get(frame.patient, "")
    try:
        outputs = list(_outputs(plan.source, frame, window, palette, made.remarks, notes))
    except UserError as error:
        made.failed = str(error)
        outputs, notes = [], dict.fromkeys(frame.files, str(error))
    for output in outputs:
        new = f"{folder}/{frame.stem}{output.ending}"
        with atomic_write(out / new) as file:
            file.write(output.content)
        low, high = (f"{value:.7g}" for value in output.window) if output.window else ("", "")
        original = frame.files[output.role].as_posix()
        made.rows.append(Row(original, new, folder, frame.patient, label, low, high, output.note))
    for role in frame.files.keys() - {output.role for output in outputs}:
        note = notes.get(role, "the temperatures beside it were taken")
        made.rows.append(Row(frame.files[role].as_posix(), "", folder, frame.patient, label, note=note))
    return made


def _outputs(
    source: Path, frame: PlannedFrame, window: Window | None, palette: str, remarks: list[str], notes: dict[Role, str]
) -> Iterator[_Output]:
    """The files of a frame; UserError says why there can be none."""
    files = {role: source / path for role, path in frame.files.items()}
    temperatures = None
    try:
        temperatures = temperatures_of(files)
    except UserError as error:
        if not {"gray", "heat"} & files.keys():
            raise
        remarks.append(f"frames that keep their picture alone: {error}")
        notes |= dict.fromkeys(files.keys() & {"matrix", "radiometric"}, str(error))
    if temperatures is not None:
        role, found = temperatures
        degrees = found.degrees
        yield _Output(".txt", found.text or matrix_bytes(degrees), role, note="; ".join(found.remarks))
        remarks += found.remarks
        if window is not None or "gray" not in files:
            drawn = window or (float(degrees.min()), float(degrees.max()))
            if np.mean(degrees > drawn[1]) > _CLIPPED:
                remarks.append(f"frames with more than {_CLIPPED:.0%} of their values above the window")
            yield _Output(".jpg", encode_jpeg(gray_levels(degrees, *drawn)), role, drawn)
        if "heat" not in files:
            yield _Output(f"{SNAP}.jpg", encode_jpeg(make_snapshot(degrees, palette)), role)
    if "gray" in files and (temperatures is None or window is None):
        yield _Output(".jpg", picture_bytes(files["gray"]), "gray")
        if temperatures is not None and not _follows(read_gray(files["gray"]), temperatures[1].degrees):
            remarks.append("gray pictures whose levels do not follow their temperatures; --window draws them anew")
        if window is not None:
            remarks.append("gray pictures without temperatures, kept as they are: no window can be applied")
        if "heat" not in files and temperatures is None:
            yield _Output(f"{SNAP}.jpg", encode_jpeg(make_snapshot(read_gray(files["gray"]), palette)), "gray")
    if "heat" in files:
        if not is_snapshot(files["heat"]) and is_of_no_palette(np.asarray(read_image(files["heat"]).convert("RGB"))):
            remarks.append("pictures in colours of no known palette, taken for heat maps")
        yield _Output(f"{SNAP}.jpg", picture_bytes(files["heat"]), "heat")


def _follows(gray: NDArray[np.float32], degrees: NDArray[np.float32]) -> bool:
    """Whether gray levels [H, W] rise with the temperatures [H, W], as those of a coloured picture made gray do not."""
    if gray.shape != degrees.shape:
        return False
    inside = (gray > 5) & (gray < 250)  # a narrow window saturates the rest
    levels, values = gray[inside], degrees[inside]
    if len(np.unique(levels)) < 2 or len(np.unique(values)) < 2:
        return True  # nothing that could disagree
    return float(np.corrcoef(levels, values)[0, 1]) > _STRAIGHT
