"""The files of a folder: what each one is, whose temperatures count, and which of them hold the same bytes."""

import hashlib
import os
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from tqdm import tqdm

from src.datasets import spreadsheets
from src.datasets.arrays import is_dicom
from src.datasets.dmr_dataset import DESCRIPTION, is_snapshot
from src.datasets.foreign import FOLDER, foreign
from src.datasets.images import LOSSY, SUFFIXES, is_colour, read_image, read_numbers
from src.datasets.layouts import UNKNOWN_DATE
from src.datasets.matrices import TEXTS, looks_like_matrix, read_temperatures
from src.datasets.radiometric import is_radiometric, read_radiometric
from src.datasets.snapshots import PHOTOGRAPHS, is_photograph
from src.datasets.source import Skipped, walk
from src.datasets.temperatures import Temperatures, celsius
from src.errors import RefusedError, UserError, refuse_failing_device
from src.files import open_plain

Role = Literal["gray", "heat", "matrix", "radiometric", "table", "description", "json"]
_TABLES = (".csv", ".tsv")
_ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".tgz", ".gz", ".bz2", ".xz")
_DRAWN = 16  # colours: more regions are on no mask, and each frame has more levels
_LOOKED_AT = (60, 80)  # rows, columns: in still smaller ones the colours of noise mix to paler ones
_HEAD = 1 << 16  # bytes that tell nearly all different files of one size apart


@dataclass(frozen=True, order=True)
class SourceFile:
    """One file, its path inside the source, and the day that the camera wrote into it."""

    path: PurePath
    role: Role
    size: int
    changed: int
    date: str = UNKNOWN_DATE


def scan(source: Path, left_out: Skipped) -> list[SourceFile]:
    """Every file below `source` that could be part of a frame or a label, sorted; the others by reason in `left_out`.

    Links are not followed, so that nothing outside of `source` is read.
    """
    paths = []
    for path, is_folder in sorted(walk(source, left_out)):
        if is_folder:
            if path.suffix.lower() in SUFFIXES:  # what it holds is looked at all the same
                left_out.add(FOLDER, path.as_posix())
        elif found := foreign(PurePath(path.name), source / path.parent):  # the folders above it are none
            left_out.add(found[0], path.as_posix())
        else:
            paths.append(path)

    def look(path: PurePath) -> SourceFile | str:
        try:
            status = (source / path).lstat()
            if not stat.S_ISREG(status.st_mode):
                return "not a plain file"
            role, day = inspect_file(source / path)
            return SourceFile(path, role, status.st_size, status.st_mtime_ns, day)
        except OSError as error:
            refuse_failing_device(error, source / path)
            return "files that cannot be read"
        except ValueError as error:
            return str(error)

    files = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looked = pool.map(look, paths)
        for path, result in zip(paths, tqdm(looked, "looking", len(paths), unit="file", disable=None), strict=True):
            if isinstance(result, str):
                left_out.add(result, path.as_posix())
            else:
                files.append(result)
    return files


def inspect_file(path: Path) -> tuple[Role, str]:
    """What a file is, and the day in it; ValueError says why it is of no use, OSError that it cannot be read."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return _inspect_picture(path)
    if suffix in TEXTS:
        if looks_like_matrix(path):
            return "matrix", UNKNOWN_DATE
        if suffix in _TABLES:
            return "table", UNKNOWN_DATE
        raise ValueError("text files that do not begin with a row of temperatures")
    if suffix in spreadsheets.READ:
        return "table", UNKNOWN_DATE
    if suffix in spreadsheets.OTHERS:
        raise ValueError("spreadsheets other than .xlsx, which must be saved as CSV")
    if path.name.lower() == DESCRIPTION:
        return "description", UNKNOWN_DATE
    if suffix == ".json":
        return "json", UNKNOWN_DATE
    with open_plain(path) as file:
        beginning = file.read(132)
    if is_dicom(beginning):  # whose names often end in nothing, or in a part of their number
        return _inspect_picture(path)
    if suffix in _ARCHIVES:
        raise ValueError("archives, which must be unpacked first")
    if suffix in Image.registered_extensions():
        raise ValueError(f"pictures of a format that is not read ({', '.join(SUFFIXES)} are)")
    raise ValueError("files of another kind")


def temperatures_of(files: Mapping[Role, Path]) -> tuple[Role, Temperatures] | None:
    """Which of a frame's files its temperatures come from, and themselves; UserError where it cannot be read."""
    if "matrix" in files:
        return "matrix", read_temperatures(files["matrix"])
    if "radiometric" in files:  # cameras resolve some hundredths
        return "radiometric", Temperatures(np.round(read_radiometric(files["radiometric"]), 3))
    return None


def about_frames(role: Role) -> str:
    """Why a file of a role that is none of a frame's is no frame, for who has nothing else."""
    if role == "table":
        return "tables that do not begin with a row of temperatures (of a spreadsheet, save the matrix as CSV)"
    return "descriptions and annotations, which are no frames"


def _inspect_picture(path: Path) -> tuple[Role, str]:
    numbers = read_numbers(path)
    if numbers is not None:
        try:
            celsius(numbers)
            return "matrix", UNKNOWN_DATE
        except RefusedError:
            if numbers.dtype.kind == "f":  # whole numbers can be gray levels
                raise
    image = read_image(path, least=_LOOKED_AT)
    if is_radiometric(image):
        return "radiometric", _camera_day(image)
    pixels = np.asarray(image.convert("RGB"))
    if path.suffix.lower() not in LOSSY and _is_drawing(pixels):
        raise ValueError(f"pictures of at most {_DRAWN} colours, such as masks and labels")
    if is_snapshot(path):
        return "heat", _camera_day(image)
    if not is_colour(pixels):
        return "gray", _camera_day(image)
    if is_photograph(pixels):
        raise ValueError(PHOTOGRAPHS)
    return "heat", _camera_day(image)


def _is_drawing(pixels: NDArray[Any]) -> bool:
    """Whether a picture without loss [H, W, 3] has several colours but hardly more than regions have."""
    some = pixels[::2, ::2].reshape(-1, 3).astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
    return 1 < len(np.unique(some)) <= min(_DRAWN, some.size // _DRAWN)


def _camera_day(image: Image.Image) -> str:
    """The day of acquisition in the picture's EXIF, as the camera's clock had it; unknown where EXIF is damaged."""
    try:
        exif = image.getexif()
        text = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal, exif.get(ExifTags.Base.DateTime))
    except Exception:  # whatever a damaged block makes the parser raise, the picture itself was read
        return UNKNOWN_DATE
    match = re.match(r"((?:19|20)\d\d):(\d\d):(\d\d)", str(text))
    return "-".join(match.groups()) if match else UNKNOWN_DATE


def identical(source: Path, files: Iterable[SourceFile]) -> list[list[SourceFile]]:
    """Files with the same bytes, in groups of two and more; only files of equal size are read."""
    groups = _alike(files, lambda file: file.size)
    for what, limit in (("comparing", _HEAD), ("comparing whole files", None)):
        members = [file for group in groups for file in group]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            read = pool.map(_digest, [source / file.path for file in members], [limit] * len(members))
            bar = tqdm(read, what, len(members), unit="file", disable=None if members else True)
            digests = dict(zip(members, bar, strict=True))
        groups = [same for group in groups for same in _alike(group, digests.__getitem__)]
    return groups


def _alike(files: Iterable[SourceFile], key: Callable[[SourceFile], Hashable]) -> list[list[SourceFile]]:
    groups = defaultdict(list)
    for file in files:
        groups[key(file)].append(file)
    return [group for group in groups.values() if len(group) > 1]


def _digest(path: Path, limit: int | None) -> bytes:
    try:
        with path.open("rb") as file:
            if limit is not None:
                return hashlib.sha256(file.read(limit)).digest()
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
