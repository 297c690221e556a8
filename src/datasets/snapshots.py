"""Heat snapshots: the database's `<frame>_snap.jpg`, derived where they are missing."""

import io
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from src.datasets.dmr_dataset import SNAP, frame_name, is_image, is_snapshot
from src.datasets.foreign import FOLDER, foreign
from src.datasets.images import is_colour, read_image
from src.datasets.letterbox import letterbox, resized
from src.datasets.matrices import read_matrix
from src.datasets.source import Skipped, walk
from src.errors import RefusedError, UserError
from src.files import atomic_write

SNAP_HEIGHT, SNAP_WIDTH = 120, 160
DEFAULT_PALETTE = "jet"
JPEG_QUALITY = 90
PALETTES: dict[str, int] = {
    name.removeprefix("COLORMAP_").lower(): getattr(cv2, name) for name in dir(cv2) if name.startswith("COLORMAP_")
}


_PIXELS = 4000
# Colours of 0..255 apart. Of ten heat maps or more, after JPEG and in half size, the right palette is within 11 on real
# frames, 16 on drawn ones, whose skin and background leave colours between them out; the next one beyond 17 and 2.8
# times as far.
_KNOWN = 16.0
_CLEARLY = 2.0  # twilight and twilight_shifted hold the same colours: then it is neither
_OF_PALETTE = 0.25  # how much a palette's colours that no frame shows count beside frames' that no palette has
_STEP = 4  # colours of the frames that are taken for one


@dataclass
class SnapshotCounts:
    """What `derive_snapshots` did: frames with a new snapshot, with one already there, and those skipped by reason."""

    made: int = 0
    existed: int = 0
    skipped: Skipped = field(default_factory=Skipped)


def palette_name(palette: str) -> str:
    """A palette's name as `PALETTES` has it; raises UserError with the accepted names."""
    name = palette.strip().lower().removeprefix("colormap_")
    if name not in PALETTES:
        raise UserError(f"unknown palette {palette!r}; choose one of {', '.join(sorted(PALETTES))}")
    return name


def palette_colours(palette: str) -> NDArray[np.uint8]:
    """The 256 colours of a palette from cold to warm, uint8 [256, 3] (RGB); UserError for an unknown name."""
    coloured = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], PALETTES[palette_name(palette)])
    return np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB)[:, 0], dtype=np.uint8)


def recognised_palette(frames: NDArray[np.uint8], sampled: int = _PIXELS) -> str | None:
    """The palette that heat maps uint8 [N, 3, H, W] (RGB) are drawn in, or None where no known one fits.

    So many of their pixels are looked at, evenly spread. Their colours are the palette's, and, since each map covers
    its own range, most of the palette's colours are theirs.
    """
    pixels = frames.transpose(0, 2, 3, 1).reshape(-1, 3)
    some = pixels[np.linspace(0, len(pixels) - 1, sampled).astype(int)]
    # Of all pixels, since a frame's coldest and warmest ones are few; as one number each, which is fast to sort.
    packed = np.unique((pixels // _STEP) @ np.array([1, 1 << 8, 1 << 16]))
    shown = np.stack([packed & 255, packed >> 8 & 255, packed >> 16], axis=1) * _STEP + _STEP // 2
    found = []
    for name in PALETTES:
        colours = palette_colours(name)
        foreign, missing = _nearest(some, colours).mean(), _nearest(colours, shown).mean()
        found.append((float(foreign + _OF_PALETTE * missing), name))
    (best, name), (second, _) = sorted(found)[:2]
    return name if best < _KNOWN and second > _CLEARLY * best else None


def _nearest(points: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """How far each of the points [N, 3] is from the nearest of the others [M, 3]."""
    from scipy.spatial.distance import cdist  # gray frames do not wait for it

    return np.asarray(cdist(points, others).min(1))


# Mean distance of a picture's colours from the nearest palette, of 0..255. Heat maps in one of `PALETTES`, after JPEG,
# are within 12, cameras' "iron" 14 from inferno; photographs are beyond 23. So are palettes of cameras that nobody
# listed, but those are vivid: 110 and more from the least to the greatest channel, photographs mostly below it.
_OF_NO_PALETTE = 20.0
_PALE = 105.0
PHOTOGRAPHS = (
    "pictures in colours of no known palette, taken for photographs (one whose name ends in _snap is a heat map)"
)
_DARK = 64  # pixels whose greatest channel is below it have no colour to speak of


def is_photograph(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture in colours uint8 [H, W, 3] (RGB) is pale and far from every known palette."""
    vivid = np.ptp(pixels, axis=-1)[pixels.max(-1) >= _DARK]
    return len(vivid) > 0 and float(vivid.mean()) < _PALE and is_of_no_palette(pixels)


def refuse_photograph(path: Path, image: Image.Image) -> None:
    """RefusedError for a picture that is read as a gray frame, is not called a heat map, and is a photograph."""
    pixels = np.asarray(image)
    if image.mode == "RGB" and not is_snapshot(path) and is_colour(pixels) and is_photograph(pixels):
        raise RefusedError(PHOTOGRAPHS)


def is_of_no_palette(pixels: NDArray[np.uint8]) -> bool:
    """Whether the colours of a picture uint8 [H, W, 3] (RGB) are those of no known palette."""
    found = pixels.reshape(-1, 3)
    some = found[np.linspace(0, len(found) - 1, min(1000, len(found))).astype(int)]
    return all(_nearest(some, palette_colours(name)).mean() > _OF_NO_PALETTE for name in PALETTES)


def make_snapshot(values: NDArray[Any], palette: str = DEFAULT_PALETTE, margin: float = 0.0) -> NDArray[np.uint8]:
    """Heat snapshot uint8 [120, 160, 3] (RGB) of a frame [H, W] in degrees or gray levels.

    The palette covers the frame's own range and `margin` on both sides of it. Of a frame of another aspect than 3:4 the
    snapshot is the largest one that fits, [120, 150, 3] of 512 x 640.
    """
    frame = np.asarray(values, dtype=np.float32)
    if frame.ndim != 2 or frame.size == 0 or not np.isfinite(frame).all():
        raise UserError(f"a snapshot needs a frame [H, W] of finite numbers, not an array of shape {frame.shape}")
    # Resampled before the palette is applied: a mean of two colours is not the colour of the mean temperature.
    rows, columns = frame.shape
    small = resized(frame, letterbox((rows, columns), (SNAP_HEIGHT, SNAP_WIDTH)).content)
    low, high = float(frame.min()) - margin, float(frame.max()) + margin
    unit = (small - low) / (high - low) if high > low else np.zeros_like(small)
    levels = np.round(np.clip(unit, 0.0, 1.0) * 255).astype(np.uint8)
    return palette_colours(palette)[levels]


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """The bytes of a JPEG file of an image uint8 [H, W, 3] (RGB)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def write_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes an image uint8 [H, W, 3] (RGB) whole or not at all: a run cut short leaves no half file of that name."""
    with atomic_write(path) as file:
        file.write(encode_jpeg(image))


def read_gray(path: Path) -> NDArray[np.float32]:
    """Gray levels float32 [H, W] of a picture of any kind; raises UserError where it is damaged or a photograph."""
    image = read_image(path)
    refuse_photograph(path, image)
    return np.asarray(image.convert("L"), dtype=np.float32)


def _pictures(folder: Path, left_out: Skipped) -> list[PurePath]:
    """The pictures below a folder, sorted; what is none for its name alone is in `left_out` by its reason."""
    found = []
    for path, is_folder in sorted(walk(folder, left_out)):
        if not is_image(path):
            continue
        reason, _ = foreign(PurePath(path.name), folder / path.parent) or (FOLDER if is_folder else None, path)
        if reason is None:
            found.append(path)
        else:
            left_out.add(reason, path.as_posix())
    return found


def derive_snapshots(folder: Path, palette: str = DEFAULT_PALETTE) -> SnapshotCounts:
    """Writes `<stem>_snap.jpg` beside each gray frame that lacks one, from its matrix `<stem>.txt` where there is one.

    A snapshot that exists is never touched. A frame that cannot be read is skipped and counted by its reason. Raises
    UserError for a missing folder, a folder without gray frames, or an unknown palette.
    """
    palette_name(palette)
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    counts = SnapshotCounts()
    pictures = [folder / path for path in _pictures(folder, counts.skipped)]
    frames = [path for path in pictures if not is_snapshot(path) and path.is_file()]
    if not frames:
        left_out = counts.skipped.summary("; ")
        raise UserError(f"no gray frame (*.jpg other than *{SNAP}.jpg) in {folder} or its subfolders{left_out}")
    shown = {(path.parent, frame_name(path)) for path in pictures if is_snapshot(path) and path.exists()}
    for frame in tqdm(frames, desc="snapshots", unit="frame"):
        if (frame.parent, frame_name(frame)) in shown:
            counts.existed += 1
            continue
        matrix = frame.with_suffix(".txt")
        try:
            picture = make_snapshot(read_matrix(matrix) if matrix.exists() else read_gray(frame), palette)
        except UserError as error:
            counts.skipped.add(str(error), frame.relative_to(folder).as_posix())
            continue
        # A disk that cannot be written is no fault of the frame: it ends the run.
        write_jpeg(frame.with_name(f"{frame.stem}{SNAP}.jpg"), picture)
        shown.add((frame.parent, frame_name(frame)))
        counts.made += 1
    return counts
