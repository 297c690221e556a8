"""The only decoder of image files: everything a stranger's image can do wrong ends in one of three reasons."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from src.errors import refuse_failing_device
from src.files import read_plain

MAX_PIXELS = 25_000_000  # no thermal camera comes near; a larger claim is a damaged or a hostile header
_MAX_BYTES = 4 * MAX_PIXELS  # of a file: as many pixels without compression
_MAX_SCANS = 100  # of a JPEG: progressive ones have about 10, and each passes over all pixels again
FORMATS = ("JPEG", "PNG", "BMP", "TIFF")  # what frames really are, whatever their suffix says
_TOO_LARGE = f"frames that declare more than {MAX_PIXELS // 1_000_000} megapixels"
_UNREADABLE = "frames that cannot be read as images"
# What Pillow's parsers of these formats raise on damaged bytes, beside OSError. No AttributeError, NameError or
# AssertionError: those would be mistakes of a program.
_DAMAGED = (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, RuntimeError, struct.error)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """One image file of `FORMATS` with its header read; what Pillow raises here or in the caller's block is a reason.

    Raises ValueError with the reason: truncated, not such an image, absurdly large.
    """
    try:
        content = read_plain(path, _MAX_BYTES)
        # The limit below is stricter than the one that Pillow warns of.
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(io.BytesIO(content), formats=FORMATS) as image,
        ):
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if image.format == "JPEG" and content.count(b"\xff\xda") > _MAX_SCANS:
                raise ValueError("more scans than any encoder writes")
            yield image
    except Image.DecompressionBombError:
        raise ValueError(_TOO_LARGE) from None
    except OSError as error:
        refuse_failing_device(error, path)
        # An unknown format or a missing file has the path in its message, which may hold any word.
        names_path = isinstance(error, UnidentifiedImageError) or error.errno is not None
        known = not names_path and any(word in str(error).lower() for word in ("truncated", "broken"))
        raise ValueError("truncated frames" if known else _UNREADABLE) from error
    except _DAMAGED as error:
        raise ValueError(_UNREADABLE) from error


def read_image(path: Path, least: tuple[int, int] | None = None) -> Image.Image:
    """Decode one image file of `FORMATS` whole, or no larger than needed for `least` (rows, columns).

    A JPEG is then decoded to an eighth, a quarter or half of its size, many times faster. Raises ValueError as
    `_opened` does.
    """
    with _opened(path) as image:
        if least is not None:
            image.draft(None, least[::-1])
        image.load()
    if image.mode == "LAB":  # a TIFF's: the one mode of these formats that Pillow does not turn to gray or RGB
        raise ValueError(_UNREADABLE)
    return image


def read_header(path: Path) -> tuple[tuple[int, int], list[int]]:
    """(rows, columns) and all entries of the JPEG quantisation tables (none in another format), without decoding.

    Raises ValueError as `_opened` does.
    """
    with _opened(path) as image:
        tables = getattr(image, "quantization", {})
        return (image.height, image.width), [entry for _, table in sorted(tables.items()) for entry in table]


def is_colour(pixels: NDArray[Any]) -> bool:
    """Whether an image [H, W, 3] is more than gray in three channels."""
    # Every third row and column is enough, and a ninth of the work; JPEG rounding of R = G = B stays below 2.
    return bool(np.ptp(pixels[::3, ::3], axis=-1).mean() > 8)
