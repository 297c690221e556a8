"""Prepares a data folder: `python -m src.datasets.prepare snaps DIR [--palette NAME]` derives missing snapshots."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from src.datasets.dmr_dataset import SNAP, frame_name, is_image, is_snapshot
from src.datasets.images import MAX_PIXELS, read_image
from src.errors import UserError
from src.files import atomic_write

log = logging.getLogger(__name__)

SNAP_HEIGHT, SNAP_WIDTH = 120, 160
DEFAULT_PALETTE = "jet"
JPEG_QUALITY = 90
PALETTES: dict[str, int] = {
    name.removeprefix("COLORMAP_").lower(): getattr(cv2, name) for name in dir(cv2) if name.startswith("COLORMAP_")
}
NAMES_SHOWN = 10


@dataclass
class SnapshotCounts:
    """What `derive_snapshots` did: frames with a new snapshot, with one already there, and those skipped by reason."""

    made: int = 0
    existed: int = 0
    skipped: dict[str, list[Path]] = field(default_factory=dict)


def _palette_code(palette: str) -> int:
    """OpenCV's number of a palette's name; raises UserError with the accepted names."""
    code = PALETTES.get(palette.strip().lower().removeprefix("colormap_"))
    if code is None:
        raise UserError(f"unknown palette {palette!r}; choose one of {', '.join(sorted(PALETTES))}")
    return code


def make_snapshot(values: NDArray[Any], palette: str = DEFAULT_PALETTE) -> NDArray[np.uint8]:
    """Heat snapshot uint8 [120, 160, 3] (RGB) of a frame [H, W] in degrees or gray levels, over its own range."""
    frame = np.asarray(values, dtype=np.float32)
    if frame.ndim != 2 or frame.size == 0 or not np.isfinite(frame).all():
        raise UserError(f"a snapshot needs a frame [H, W] of finite numbers, not an array of shape {frame.shape}")
    # Resampled before the palette is applied: a mean of two colours is not the colour of the mean temperature.
    shrinks = frame.shape[0] >= SNAP_HEIGHT and frame.shape[1] >= SNAP_WIDTH
    small = cv2.resize(frame, (SNAP_WIDTH, SNAP_HEIGHT), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    low, high = float(frame.min()), float(frame.max())
    unit = (small - low) / (high - low) if high > low else np.zeros_like(small)
    levels = np.round(np.clip(unit, 0.0, 1.0) * 255).astype(np.uint8)
    coloured = cv2.applyColorMap(levels, _palette_code(palette))
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def write_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes an image uint8 [H, W, 3] (RGB) whole or not at all: a run cut short leaves no half file of that name."""
    with atomic_write(path) as file:
        Image.fromarray(image).save(file, format="JPEG", quality=JPEG_QUALITY)


def _plain_numbers(text: str) -> str:
    """The text of a matrix with spaces between numbers and points for decimals, whatever it came with."""
    if ";" in text:
        if re.search(r";[ \t]*;", text):
            raise UserError("the matrix has empty fields")
        separated = text.replace(";", " ")
        return separated if "." in text else separated.replace(",", ".")
    if "," not in text:
        return text
    if "." not in text:
        first = text.split("\n", 1)[0].split()
        # "21,5 22,0" has one comma inside each number; "21,22,23" and "21, 22" have them between numbers.
        if len(first) > 1 and all(re.fullmatch(r"[-+]?\d+(,\d+)?", token) for token in first):
            return text.replace(",", ".")
    if re.search(r",[ \t]*,", text):
        raise UserError("the matrix has empty fields")
    return text.replace(",", " ")


def read_matrix(path: Path) -> NDArray[np.float32]:
    """Temperature matrix float32 [H, W] in degrees Celsius from a text file, in any of the layouts seen in the wild.

    Numbers stand between spaces, tabs, semicolons or commas; decimals have points, or commas where commas do not
    separate; lines end in any mixture of carriage returns and line feeds, blank ones are ignored.
    Raises UserError for a file that is unreadable, empty, ragged or holds anything but finite numbers.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"the matrix cannot be read ({error.strerror})") from error
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("latin-1").replace("\r", "\n")
    rows = [line.split() for line in _plain_numbers(text.strip()).split("\n")]
    rows = [row for row in rows if row]
    if len(rows) < 2 or len(rows[0]) < 2:
        raise UserError("the matrix has fewer than 2 rows or 2 columns")
    if any(len(row) != len(rows[0]) for row in rows):
        raise UserError("the matrix has rows of different length")
    if len(rows) * len(rows[0]) > MAX_PIXELS:
        raise UserError(f"the matrix has more than {MAX_PIXELS // 1_000_000} million values")
    try:
        matrix = np.array(rows, dtype=np.float32)
    except (ValueError, OverflowError) as error:
        raise UserError("the matrix holds something that is not a number") from error
    if not np.isfinite(matrix).all():
        raise UserError("the matrix holds values that are not finite")
    return matrix


def _read_gray(path: Path) -> NDArray[np.float32]:
    """Gray levels float32 [H, W] of a JPEG of one or three channels; raises UserError when it is damaged."""
    try:
        return np.asarray(read_image(path).convert("L"), dtype=np.float32)
    except ValueError as error:
        raise UserError(str(error)) from None


def gray_frames(folder: Path) -> list[Path]:
    """Every gray frame below a folder, sorted: `*.jpg` that is not a snapshot."""
    found = (path for path in folder.rglob("*") if is_image(path) and not is_snapshot(path))
    return sorted(path for path in found if path.is_file())


def derive_snapshots(folder: Path, palette: str = DEFAULT_PALETTE) -> SnapshotCounts:
    """Writes `<stem>_snap.jpg` beside each gray frame that lacks one, from its matrix `<stem>.txt` where there is one.

    A snapshot that exists is never touched. A frame that cannot be read is skipped and counted by its reason. Raises
    UserError for a missing folder, a folder without gray frames, or an unknown palette.
    """
    _palette_code(palette)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    frames = gray_frames(folder)
    if not frames:
        raise UserError(f"no gray frame (*.jpg other than *{SNAP}.jpg) in {folder} or its subfolders")
    counts = SnapshotCounts()
    snapshots = (path for path in folder.rglob("*") if is_image(path) and is_snapshot(path) and path.exists())
    shown = {(path.parent, frame_name(path)) for path in snapshots}
    for frame in tqdm(frames, desc="snapshots", unit="frame"):
        if (frame.parent, frame.stem) in shown:
            counts.existed += 1
            continue
        matrix = frame.with_suffix(".txt")
        try:
            values = read_matrix(matrix) if matrix.exists() else _read_gray(frame)
            picture = make_snapshot(values, palette)
        except UserError as error:
            counts.skipped.setdefault(str(error), []).append(frame)
            continue
        # A disk that cannot be written is no fault of the frame: it ends the run.
        write_jpeg(frame.with_name(f"{frame.stem}{SNAP}.jpg"), picture)
        shown.add((frame.parent, frame.stem))
        counts.made += 1
    return counts


def _report(counts: SnapshotCounts) -> None:
    """One summary line for what was done and one for each reason to skip."""
    log.info("snapshots: %d made, %d there already", counts.made, counts.existed)
    for reason, frames in sorted(counts.skipped.items()):
        more = f" and {len(frames) - NAMES_SHOWN} more" if len(frames) > NAMES_SHOWN else ""
        names = ", ".join(frame.name for frame in frames[:NAMES_SHOWN])
        log.warning("skipped %d frame(s), %s: %s%s", len(frames), reason, names, more)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 when there are snapshots now, 2 when the input was bad."""
    parser = argparse.ArgumentParser(prog="python -m src.datasets.prepare", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    snaps = commands.add_parser("snaps", help="derive the missing heat snapshots of a data folder")
    snaps.add_argument("folder", type=Path, metavar="DIR", help="the data folder, searched with its subfolders")
    snaps.add_argument("--palette", default=DEFAULT_PALETTE, help="an OpenCV colour map by name (default: jet)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        counts = derive_snapshots(options.folder, options.palette)
        _report(counts)
        if not counts.made and not counts.existed:
            raise UserError(f"none of the gray frames in {options.folder} could be read")
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
