"""Frames decoded once, kept as raw bytes on disk, read through a memory map a batch at a time."""

import hashlib
import json
import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, PositiveInt, ValidationError
from tqdm import tqdm

from src.datasets.images import is_colour, read_image
from src.datasets.letterbox import Letterbox, Size, letterbox
from src.datasets.snapshots import refuse_photograph
from src.datasets.source import Frame, Skipped
from src.errors import UserError
from src.files import alone_in, atomic_write, read_json, write_json
from src.settings import Modality

logger = logging.getLogger(__name__)

CHANNELS: dict[Modality, int] = {"gray": 1, "heat": 3}
_CHUNK = 64  # frames decoded before they are written: bounds memory
_VERSION = 5


def read_frame(path: Path, modality: Modality, size: Size) -> tuple[np.ndarray, Letterbox, list[str]]:
    """Decode one image to uint8 [C, H, W] in `size`, where its picture lies in that, and a note on each change.

    The aspect is kept, as in prediction: another camera's frame is never stretched. Raises ValueError with the reason
    where it cannot be used: truncated, not an image, absurdly large, a photograph.
    """
    image = read_image(path)
    one_channel = image.mode == "L"
    pixels = np.asarray(image)
    luminance = pixels if one_channel else np.asarray(image.convert("L"))
    notes = []
    if modality == "gray":
        if not one_channel and is_colour(pixels):
            refuse_photograph(path, image)
            notes.append("gray frames in colour, turned to gray by luminance")
        pixels = luminance
    elif one_channel:
        notes.append("heat frames of one channel, repeated three times")
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    box = letterbox((pixels.shape[0], pixels.shape[1]), size)
    if pixels.shape[:2] != size:
        notes.append(f"{modality} frames of another size, resized to {size[0]} x {size[1]}")
    if box.content != size:
        notes.append(f"{modality} frames of another aspect than {size[0]} x {size[1]}, filled up from their border")
    return np.atleast_3d(box.apply(pixels)).transpose(2, 0, 1), box, notes


@dataclass(frozen=True)
class FrameCache:
    """Decoded frames of one dataset, modality and size: `frames[i]` is row i of the file."""

    path: Path
    frames: tuple[Frame, ...]
    shape: tuple[int, int, int]
    originals: tuple[Size, ...]
    """(rows, columns) of each frame's file."""
    digests: tuple[str, ...]
    """Of each frame's decoded pixels, whatever its file's time and place."""

    def box(self, row: int) -> Letterbox:
        """Where the picture of this row's file lies in it."""
        return letterbox(self.originals[row], self.shape[1:])

    def read(self, rows: Sequence[int]) -> torch.Tensor:
        """The frames of these rows, uint8 [B, C, H, W].

        The map is opened for each call and dropped after it, so that pages once read do not stay resident.
        Raises `UserError` if the file is no longer what `open_cache` found.
        """
        try:
            data = np.memmap(self.path, np.uint8, "r", shape=(len(self.frames), *self.shape))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path}: the decoded frames were deleted or changed during the run ({error}); start it again"
            ) from None
        return torch.from_numpy(data[np.asarray(rows, dtype=np.int64)])


def open_cache(
    folder: Path, root: Path, frames: Sequence[Frame], modality: Modality, size: Size, skipped: Skipped
) -> FrameCache:
    """The cache of these frames below `folder`, built if it is absent or damaged or if a file's size or time changed.

    Raises `UserError` if not one frame can be decoded.
    """
    files = []
    for frame in frames:
        try:
            status = (root / frame.path).stat()
            files.append([frame.patient, str(frame.path), status.st_size, status.st_mtime_ns])
        except OSError:  # a broken link, which the decoder will report
            files.append([frame.patient, str(frame.path), None, None])
    key = json.dumps([_VERSION, str(root.resolve()), modality, size, files])
    stem = f"{modality}_{size[0]}x{size[1]}_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    index_path, data_path = folder / f"{stem}.json", folder / f"{stem}.u8"
    shape = (CHANNELS[modality], *size)
    index = _read_index(index_path, data_path, shape, frames)
    if index is None:
        with alone_in(folder):  # another run may decode the same frames just now
            index = _read_index(index_path, data_path, shape, frames)
            index = index or _build(index_path, data_path, root, frames, modality, size)
    for reason, names in index.notes.items():
        for name in names:
            skipped.add(reason, name)
    usable = set(index.usable)
    kept = tuple(frame for frame in frames if str(frame.path) in usable)
    if not kept:
        reasons = Skipped(index.notes).summary()
        raise UserError(f"{root}: none of {len(frames)} {modality} frames can be decoded ({reasons})")
    return FrameCache(data_path, kept, shape, tuple(index.originals), tuple(index.digests))


class _Index(BaseModel):
    """What is known of the decoded frames, each list in their order, and what was noted on the way."""

    usable: list[str] = []
    originals: list[tuple[PositiveInt, PositiveInt]] = []
    digests: list[str] = []
    notes: dict[str, list[str]] = {}


def _read_index(
    index_path: Path, data_path: Path, shape: tuple[int, int, int], frames: Sequence[Frame]
) -> _Index | None:
    """The index, or None where it or the decoded frames are absent or damaged, or it is not of these frames."""
    if not (index_path.exists() and data_path.exists()):
        return None
    try:
        index = _Index.model_validate(read_json(index_path, "the index of decoded frames"))
        known = set(index.usable)
        count = len(index.usable)
        whole = index.usable == [str(frame.path) for frame in frames if str(frame.path) in known]
        whole = whole and count == len(index.originals) == len(index.digests)
        if whole and data_path.stat().st_size == count * math.prod(shape):
            return index
    except (UserError, OSError, ValidationError):
        pass
    logger.warning("%s: damaged; the frames are decoded again", index_path)
    return None


def _build(
    index_path: Path, data_path: Path, root: Path, frames: Sequence[Frame], modality: Modality, size: Size
) -> _Index:
    """Decode on all cores, write in the order given; the index comes last and makes the cache valid."""

    def decode(frame: Frame) -> tuple[np.ndarray | None, Size, list[str]]:
        try:
            pixels, box, notes = read_frame(root / frame.path, modality, size)
        except ValueError as error:
            return None, size, [str(error)]
        return pixels, box.original, notes

    index = _Index()
    logger.info("decoding %d %s frames into %s", len(frames), modality, data_path)
    with (
        atomic_write(data_path) as file,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(frames), desc="decoding", unit="frame", disable=None, leave=False) as bar,
    ):
        for start in range(0, len(frames), _CHUNK):
            chunk = frames[start : start + _CHUNK]
            for frame, (pixels, original, remarks) in zip(chunk, pool.map(decode, chunk), strict=True):
                for remark in remarks:
                    index.notes.setdefault(remark, []).append(str(frame.path))
                if pixels is not None:
                    written = np.ascontiguousarray(pixels).tobytes()
                    file.write(written)
                    index.digests.append(hashlib.sha256(written).hexdigest()[:16])
                    index.usable.append(str(frame.path))
                    index.originals.append(original)
                bar.update()
    write_json(index_path, index.model_dump())
    return index
