"""The only decoder of picture files: pixels as a person sees them, whatever the file is called and however it stores
them; everything a stranger's file can do wrong ends in a reason."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from src.datasets import arrays
from src.datasets.arrays import MAX_PIXELS as MAX_PIXELS
from src.datasets.arrays import SERIES
from src.datasets.arrays import turned as turned
from src.datasets.picture_headers import is_series, orientation_of, tiff_tag, webp_pixels
from src.datasets.temperatures import can_be_temperatures
from src.errors import RefusedError, refuse_failing_device
from src.files import read_plain

_MAX_BYTES = 4 * MAX_PIXELS  # of a file: as many pixels without compression
_MAX_SCANS = 100  # of a JPEG: progressive ones have about 10, and each passes over all pixels again
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")  # what frames really are, whatever their suffix says
LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")  # suffixes of JPEG, which has 8 bits and small errors
SUFFIXES = (*LOSSY, ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", *arrays.SUFFIXES)
_TOO_LARGE = f"frames that declare more than {MAX_PIXELS // 1_000_000} megapixels"
_UNREADABLE = "frames that cannot be read as images"
_RENAMED = "pictures of more than 8 bits, whose scale is unknown, under a name of JPEG (rename them to what they are)"
_NOT_FINITE = "pictures with values that are not finite"
_TRANSPARENT = "pictures that are transparent everywhere"
# What Pillow's parsers of these formats raise on damaged bytes, beside OSError. No AttributeError, NameError or
# AssertionError: those would be mistakes of a program.
_DAMAGED = (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, RuntimeError, struct.error)
# Once, as readings are done in threads: the limit here is stricter than the one that Pillow warns of.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, module=r"PIL\.Image")


@contextmanager
def _opened(content: bytes, path: Path) -> Iterator[Image.Image]:
    """The one picture of `FORMATS` in a file's bytes with its header read; what Pillow raises is a reason.

    Raises RefusedError with the reason: truncated, not such an image, absurdly large, more than one page.
    """
    try:
        if webp_pixels(content) > MAX_PIXELS:  # Pillow takes memory for them before it tells their size
            raise Image.DecompressionBombError
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if image.format == "JPEG" and content.count(b"\xff\xda") > _MAX_SCANS:
                raise RefusedError(_UNREADABLE)  # more scans than any encoder writes
            if is_series(image):
                raise RefusedError(SERIES)
            yield image
    except Image.DecompressionBombError:
        raise RefusedError(_TOO_LARGE) from None
    except RefusedError:
        raise
    except OSError as error:
        refuse_failing_device(error, path)
        # An unknown format or a missing file has the path in its message, which may hold any word.
        names_path = isinstance(error, UnidentifiedImageError) or error.errno is not None
        known = not names_path and any(word in str(error).lower() for word in ("truncated", "broken"))
        raise RefusedError("truncated frames" if known else _UNREADABLE) from error
    except _DAMAGED as error:
        raise RefusedError(_UNREADABLE) from error


def _content(path: Path) -> bytes:
    try:
        return read_plain(path, _MAX_BYTES)
    except OSError as error:
        refuse_failing_device(error, path)
        raise RefusedError(_UNREADABLE) from error


def as_shown(values: NDArray[Any], content: bytes) -> NDArray[Any]:
    """Values [H, W] of a sensor as the JPEG around them is shown: turned as it is, or upright already where it is not.

    Raises RefusedError where they lie on the side of a picture that is not turned: which side is not told.
    """
    try:
        with _opened(content, Path()) as image:
            orientation, upright = orientation_of(image), image.width < image.height
    except RefusedError:  # the picture is damaged, the values are not
        return values
    if upright == (values.shape[1] < values.shape[0]):
        return turned(values, orientation)
    if orientation not in (5, 6, 7, 8):
        raise RefusedError(
            "the radiometric JPEG holds temperatures that lie on the side of their picture, which side is not told"
        )
    return values


def read_image(path: Path, least: tuple[int, int] | None = None) -> Image.Image:
    """Decode one picture file whole as a person sees it: mode L or RGB, turned as its EXIF says, transparent pixels
    black, more than 8 bits drawn over their own range.

    With `least` (rows, columns) no larger than needed for that: a JPEG is then decoded to an eighth, a quarter or half
    of its size, many times faster. Raises RefusedError with the reason where it cannot be read.
    """
    content = _content(path)
    if arrays.is_array(content):
        return Image.fromarray(levels_of(_rightly_named(arrays.read_array(content), path)))
    with _opened(content, path) as image:
        numbers = _numbers(content, image)
        if numbers is not None:
            return Image.fromarray(levels_of(_rightly_named(numbers, path)))
        orientation = orientation_of(image)
        if least is not None:
            image.draft(None, least if orientation in (5, 6, 7, 8) else least[::-1])
        image.load()
        if image.mode == "LAB":  # a TIFF's: the one mode of these formats that Pillow does not turn to gray or RGB
            raise RefusedError(_UNREADABLE)
        shown = _opaque(image)
        if orientation in range(2, 9):
            shown = Image.fromarray(turned(np.asarray(shown), orientation))
        # What the file tells beside its pixels, for who asks: EXIF, and the segments that hold a FLIR camera's values.
        shown.info = image.info | {"applist": getattr(image, "applist", [])}
    return shown


def _opaque(image: Image.Image) -> Image.Image:
    """A picture in mode L or RGB on a black ground."""
    if not image.has_transparency_data:
        mode = "L" if image.mode in ("1", "L") else "RGB"
        return image if image.mode == mode else image.convert(mode)
    layered = image.convert("RGBA")
    if not layered.getchannel("A").getextrema()[1]:
        raise RefusedError(_TRANSPARENT)
    ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(ground, layered).convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")


def read_numbers(path: Path) -> NDArray[Any] | None:
    """The numbers [H, W] of a file that stores more than 8 bits a pixel in one channel, turned as its EXIF says: uint16
    or int32 where they are gray levels or temperatures, floating point where they can be temperatures alone.

    None of any other picture. Raises RefusedError with the reason where it cannot be read.
    """
    content = _content(path)
    if arrays.is_array(content):
        found = arrays.read_array(content)
        return None if found.dtype == np.uint8 else _rightly_named(found, path)
    with _opened(content, path) as image:
        numbers = _numbers(content, image)
        return None if numbers is None else _rightly_named(numbers, path)


def _rightly_named(found: NDArray[Any], path: Path) -> NDArray[Any]:
    """What a file holds, unless it is of more than 8 bits and called as a JPEG: whoever named it so may have changed
    its scale as well, and no one can tell from the numbers."""
    if found.dtype != np.uint8 and path.suffix.lower() in LOSSY:
        raise RefusedError(_RENAMED)
    return found


def _numbers(content: bytes, image: Image.Image) -> NDArray[Any] | None:
    if not image.mode.startswith(("I", "F")):
        return _deep_channels(content, image)
    white_is_zero = tiff_tag(image, 262, 1) == 0
    orientation = orientation_of(image)
    image.load()
    found = np.asarray(image)
    if found.dtype.kind == "f":
        if not np.isfinite(found).all():
            raise RefusedError(_NOT_FINITE)
    else:
        found = found.astype(np.int32)
        if white_is_zero and not can_be_temperatures(found):
            found = found.max() - found + found.min()
        if found.min() >= 0 and found.max() < 1 << 16:
            found = found.astype(np.uint16)
    return turned(found, orientation)


def _deep_channels(content: bytes, image: Image.Image) -> NDArray[Any] | None:
    """The numbers of a gray picture of 16 bits that is stored with a channel for transparency or as three equal ones,
    of which Pillow would keep the upper 8 bits; None of any other."""
    bits = content[24] if image.format == "PNG" else tiff_tag(image, 258, 8)
    if 16 not in np.atleast_1d(bits):
        return None
    if tiff_tag(image, 284, 1) == 2:  # which neither Pillow nor OpenCV reads
        raise RefusedError("TIFFs of more than 8 bits whose channels are stored apart")
    orientation = orientation_of(image)  # of a TIFF none: OpenCV turns these itself
    image.load()  # tells damage in words, where OpenCV writes to the console
    try:
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        raise RefusedError(_UNREADABLE) from None
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or (np.ptp(found[..., :3], axis=2) > 0).any():
        return None
    numbers = found[..., 0]
    if found.shape[2] == 4:
        opaque = found[..., 3] > 0
        if not opaque.any():
            raise RefusedError(_TRANSPARENT)
        numbers = np.where(opaque, numbers, numbers[opaque].min())
    return turned(numbers, orientation)


def levels_of(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels uint8 as they are, other numbers [H, W] as gray levels over their own range."""
    if numbers.dtype == np.uint8:
        return numbers
    low, high = float(numbers.min()), float(numbers.max())
    if not np.isfinite(high - low):
        raise RefusedError(_NOT_FINITE)
    unit = (numbers.astype(np.float64) - low) / (high - low if high > low else 1.0)
    return np.rint(unit * 255.0).astype(np.uint8)


def read_header(path: Path) -> tuple[tuple[int, int], list[int]]:
    """(rows, columns) as shown and all entries of the JPEG quantisation tables (none in another format), without
    decoding a JPEG.

    Raises RefusedError with the reason where it cannot be read.
    """
    content = _content(path)
    if arrays.is_array(content):
        rows, columns = arrays.read_array(content).shape[:2]
        return (rows, columns), []
    with _opened(content, path) as image:
        tables = getattr(image, "quantization", {})
        size = (image.height, image.width)
        shown = size[::-1] if orientation_of(image) in (5, 6, 7, 8) else size
        return shown, [entry for _, table in sorted(tables.items()) for entry in table]


def is_colour(pixels: NDArray[Any]) -> bool:
    """Whether an image [H, W, 3] is more than gray in three channels."""
    # Every third row and column is enough, and a ninth of the work; JPEG rounding of R = G = B stays below 2.
    return bool(np.ptp(pixels[::3, ::3], axis=-1).mean() > 8)


def picture_bytes(path: Path) -> bytes:
    """A picture file to keep: a JPEG's own bytes, a PNG of what is seen of any other, without loss.

    Raises RefusedError with the reason where it cannot be read.
    """
    content = _content(path)
    if content.startswith(b"\xff\xd8"):
        return content
    file, shown = io.BytesIO(), read_image(path)
    shown.info = {}  # a colour that was transparent is black by now
    shown.save(file, format="PNG")
    return file.getvalue()
