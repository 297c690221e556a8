"""Radiometric JPEGs of FLIR cameras: temperatures behind the picture, read with the optional library flyr."""

import importlib.util
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from src.datasets.images import MAX_PIXELS, as_shown
from src.errors import UserError
from src.files import read_plain

_MOST_RECORDS = 1000  # of a file: cameras write about ten
_MOST_VALUES = 4_000_000  # the largest sensors have 1.3 million
_RAW, _PHOTOGRAPH = 1, 14  # types of FLIR's records
_RECORD_HEAD = 32  # bytes


def is_radiometric(image: Image.Image) -> bool:
    """Whether a JPEG that `read_image` read carries FLIR's raw values."""
    segments: list[tuple[str, bytes]] = image.info.get("applist", [])
    return any(marker == "APP1" and content.startswith(b"FLIR\0") for marker, content in segments)


def require_flyr() -> None:
    """UserError says how to install flyr where it is missing."""
    if importlib.util.find_spec("flyr") is None:
        raise UserError("radiometric FLIR JPEGs are read with the library flyr: python -m pip install flyr==5.1.0")


def read_radiometric(path: Path) -> NDArray[np.float32]:
    """Temperatures float32 [H, W] in degrees Celsius, with the emissivity and distances that were set in the camera.

    Raises UserError where flyr is missing or the file cannot be read.
    """
    require_flyr()
    import flyr  # slow to import, and few people need it

    try:
        content = read_plain(path)
        _refuse_bombs(content)
        celsius = flyr.unpack(io.BytesIO(content)).celsius
    except OSError as error:
        raise UserError(f"the radiometric JPEG cannot be read ({error.strerror or error})") from error
    except Exception as error:  # flyr's parser lets through whatever a damaged record makes Python raise
        raise UserError(f"the radiometric JPEG is damaged ({type(error).__name__})") from error
    degrees = np.asarray(celsius, dtype=np.float32)
    if degrees.ndim != 2 or not np.isfinite(degrees).all():
        raise UserError("the radiometric JPEG holds values that are not finite")
    return as_shown(degrees, content)


def _refuse_bombs(content: bytes) -> None:
    """ValueError for what flyr would need hours or gigabytes for; it believes every number that a file holds."""
    from flyr.records import extract_flir_app1, parse_flir_records

    stream = extract_flir_app1(io.BytesIO(content))
    stream.seek(28)
    if int.from_bytes(stream.read(4), "big") > _MOST_RECORDS:
        raise ValueError("too many records")
    stream.seek(0)
    for _, kind, offset, length in parse_flir_records(stream).values():
        if kind not in (_RAW, _PHOTOGRAPH):
            continue
        stream.seek(offset + 2)
        columns, rows = (int.from_bytes(stream.read(2), "little") for _ in range(2))
        stream.seek(offset + _RECORD_HEAD)
        picture = stream.read(length)
        try:
            with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG")) as image:
                columns, rows = max(columns, image.width), max(rows, image.height)
        except UnidentifiedImageError:
            if kind == _PHOTOGRAPH:
                raise
        if columns * rows > (_MOST_VALUES if kind == _RAW else MAX_PIXELS):
            raise ValueError("too many values")
