"""Files and arrays of any size to thermograms: the picture that a network sees and the values that regions are of."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.datasets.arrays import settled
from src.datasets.formats import Role, SourceFile, about_frames, inspect_file, scan, temperatures_of
from src.datasets.images import is_colour, levels_of, read_image
from src.datasets.layouts import frame_stem
from src.datasets.letterbox import Letterbox, letterbox, resized
from src.datasets.matrices import gray_levels
from src.datasets.snapshots import DEFAULT_PALETTE, encode_jpeg, make_snapshot, read_gray
from src.datasets.source import Skipped
from src.datasets.temperatures import can_be_temperatures, celsius
from src.errors import UserError
from src.settings import Modality

Unit = Literal["C", "gray level", "none"]
"""Degrees Celsius; 0..255 of the picture; none where a frame came in colours alone, which have no order."""
_ROLES: tuple[Role, ...] = ("gray", "radiometric", "heat", "matrix")
"""Of a frame's files; the first one that is there stands for it."""
_SAME_ASPECT = 0.02


@dataclass(frozen=True)
class FrameFiles:
    """The files of one frame: their paths below `root`, and the frame's name, which is a path without suffix."""

    root: Path
    name: PurePath
    files: dict[Role, PurePath] = field(default_factory=dict)

    @property
    def main(self) -> PurePath:
        """The file that stands for the frame."""
        return next(self.files[role] for role in _ROLES if role in self.files)


@dataclass(frozen=True)
class Thermogram:
    """One frame as it came in.

    At least one of `colours` and `values` is there. `values` are what regions are measured in; predictions lie on
    their pixels, or on those of `colours` where there are no values.
    """

    name: PurePath
    file: PurePath
    values: NDArray[np.float32] | None
    """[h, w]: degrees Celsius, or gray levels 0..255."""
    unit: Unit
    colours: NDArray[np.uint8] | None = None
    """Heat map [h', w', 3] (RGB)."""
    levels: NDArray[np.uint8] | None = None
    """Gray picture [h', w'], where there is one beside the temperatures."""

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of the pixels that predictions lie on."""
        of = self.values if self.values is not None else self.colours
        assert of is not None
        return of.shape[0], of.shape[1]

    def gray_picture(self) -> NDArray[np.uint8]:
        """Gray levels uint8 [h, w] to look at: the picture, values over their own range, or the colours' luminance."""
        if self.levels is not None:
            return resized(self.levels, self.size)
        if self.values is not None:
            return _drawn(self.values, self.unit)
        assert self.colours is not None
        return np.asarray(Image.fromarray(self.colours).convert("L"))


def find_frames(path: Path, skipped: Skipped) -> list[FrameFiles]:
    """The frames below a folder, at any depth, or the one of a file; files of one name in one folder are one frame.

    Raises `UserError` where there is no such path or nothing that could be a frame.
    """
    if path.is_dir():
        found, root = scan(path, skipped), path
    elif path.is_file():
        found, root = list(_single(path, skipped)), path.parent
    else:
        raise UserError(f"{path}: no such file or folder")
    groups: dict[PurePath, FrameFiles] = {}
    for file in found:
        if file.role not in _ROLES:
            skipped.add(about_frames(file.role), file.path.as_posix())
            continue
        name = file.path.parent / frame_stem(file.path)
        if name in groups and file.role in groups[name].files:  # such as a.jpg and a.png
            name = file.path.parent / file.path.name.replace(".", "_")
        groups.setdefault(name, FrameFiles(root, name)).files[file.role] = file.path
    if not groups:
        raise UserError(f"{path}: no frame there ({skipped.summary() or 'the folder is empty'})")
    return sorted(groups.values(), key=lambda frame: frame.name.as_posix())


def _single(path: Path, skipped: Skipped) -> Iterator[SourceFile]:
    try:
        yield SourceFile(PurePath(path.name), inspect_file(path)[0], 0, 0)
    except OSError as error:
        skipped.add(f"files that cannot be read ({error.strerror})", path.name)
    except ValueError as error:
        skipped.add(str(error), path.name)


def read_thermogram(frame: FrameFiles, notes: Skipped) -> Thermogram:
    """Read the files of a frame; what was left aside is in `notes`.

    Raises `UserError` with the reason where the frame cannot be read.
    """
    files = {role: frame.root / path for role, path in frame.files.items()}
    values, levels = _temperatures(files, frame, notes), None
    unit: Unit = "C" if values is not None else "gray level" if "gray" in files else "none"
    if "gray" in files:
        levels = read_gray(files["gray"])
        if values is None:
            values, levels = levels, None
        elif not _same_aspect(levels.shape, values.shape):
            notes.add("pictures of another shape than their temperatures, drawn from these", str(frame.files["gray"]))
            levels = None
    colours = np.asarray(read_image(files["heat"]).convert("RGB")) if "heat" in files else None
    if colours is not None and values is not None and not _same_aspect(colours.shape, values.shape):
        notes.add("heat maps of another shape than their frame, drawn anew", str(frame.files["heat"]))
        colours = None
    levels8 = None if levels is None else levels.astype(np.uint8)
    return Thermogram(frame.name, frame.main, values, unit, colours, levels8)


def _temperatures(files: dict[Role, Path], frame: FrameFiles, notes: Skipped) -> NDArray[np.float32] | None:
    try:
        found = temperatures_of(files)
    except UserError as error:
        if not {"gray", "heat"} & files.keys():
            raise
        notes.add(
            f"frames whose temperatures cannot be read, so that the picture alone is used: {error}", str(frame.name)
        )
        return None
    if found is None:
        return None
    role, temperatures = found
    for remark in temperatures.remarks:
        notes.add(remark, str(frame.files[role]))
    return temperatures.degrees


def _same_aspect(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= _SAME_ASPECT


def from_array(array: NDArray[Any], notes: Skipped | None = None) -> Thermogram:
    """A thermogram from an array, judged as a file that holds it: uint8 [h, w] gray levels, uint8 [h, w, 3] heat map
    (RGB), uint16 [h, w] gray levels, other numbers [h, w] temperatures.

    Three equal channels count as gray. Temperatures in Fahrenheit, Kelvin or hundredths of a Kelvin become degrees
    Celsius, which is told in `notes`. Raises `UserError` for anything else.
    """
    if np.ma.is_masked(array):  # whose hidden values would count
        raise UserError("an array with masked values: fill them in first")
    name, array = PurePath("array"), np.asarray(array)
    try:
        found = settled(array)
    except ValueError as error:
        raise UserError(
            f"an array {array.dtype} {list(array.shape)}: {error}; uint8 [h, w] (gray), uint8 [h, w, 3] (RGB heat map) "
            "or float [h, w] (temperatures) is accepted"
        ) from None
    if found.dtype != np.uint8 and (found.dtype != np.uint16 or can_be_temperatures(found)):
        try:
            temperatures = celsius(found)
        except UserError as error:
            raise UserError(f"the array holds {error}") from None
        for remark in temperatures.remarks:
            (notes or Skipped()).add(remark, str(name))
        return Thermogram(name, name, temperatures.degrees, "C")
    if found.ndim == 3 and is_colour(found):
        return Thermogram(name, name, None, "none", np.ascontiguousarray(found))
    levels = levels_of(found)
    if levels.ndim == 3:
        levels = np.asarray(Image.fromarray(levels).convert("L"))
    return Thermogram(name, name, levels.astype(np.float32), "gray level")


def as_frame(
    thermogram: Thermogram, modality: Modality, size: tuple[int, int], palette: str = DEFAULT_PALETTE
) -> tuple[NDArray[np.uint8], Letterbox]:
    """The frame uint8 [C, H, W] that a network of this modality and (rows, columns) takes, and where it lies in it.

    A heat map that is missing is coloured from the values as `prepare snaps` does, in `palette`; a gray frame that is
    missing is drawn over the temperatures' own range, as the import does. Both pass through JPEG, as the frames of
    training did.
    Raises `UserError` where a gray frame is asked for and only colours are there.
    """
    box = letterbox(thermogram.size, size)
    if modality == "gray":
        pixels = box.apply(_gray(thermogram))[..., None]
    else:
        pixels = box.apply(thermogram.colours if thermogram.colours is not None else _coloured(thermogram, palette))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), box


def _gray(thermogram: Thermogram) -> NDArray[np.uint8]:
    if thermogram.levels is not None:
        return thermogram.levels
    if thermogram.values is None:
        raise UserError("false colours, where this run reads gray frames")
    if thermogram.unit == "C":
        drawn = _drawn(thermogram.values, "C")
        return np.asarray(_through_jpeg(np.repeat(drawn[..., None], 3, axis=2)).convert("L"))
    return thermogram.values.astype(np.uint8)


def _drawn(values: NDArray[np.float32], unit: Unit) -> NDArray[np.uint8]:
    if unit == "gray level":
        return values.astype(np.uint8)
    return gray_levels(values, float(values.min()), float(values.max()))[..., 0]


def _coloured(thermogram: Thermogram, palette: str) -> NDArray[np.uint8]:
    assert thermogram.values is not None
    return np.asarray(_through_jpeg(make_snapshot(thermogram.values, palette)).convert("RGB"))


def _through_jpeg(image: NDArray[np.uint8]) -> Image.Image:
    return Image.open(io.BytesIO(encode_jpeg(image)))
