"""Arrays of NumPy, of DICOM files and of TIFFs that Pillow does not read as gray levels, colours or temperatures."""

import io
import struct
import tokenize
import warnings
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from src.datasets.temperatures import can_be_temperatures
from src.errors import RefusedError

MAX_PIXELS = 25_000_000  # no thermal camera comes near; a larger claim is a damaged or a hostile header
_MOST_BYTES = 8 * MAX_PIXELS  # of one array
SUFFIXES = (".npy", ".npz", ".dcm", ".dicom")
SERIES = "several frames in one file: save each as a file of its own"
_DAMAGED = "arrays that cannot be read"
_DICOM_PREAMBLE = 128
_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_TAGS = (256, 257, 258, 259, 273, 274, 277, 279, 339)
_WIDE = {(3, 16): "float16", (3, 64): "float64", (1, 64): "uint64", (2, 64): "int64"}  # by sample format and bits
# What the parsers of NumPy, zipfile and Pillow raise on damaged bytes.
_ERRORS = (ValueError, TypeError, LookupError, EOFError, OSError, ArithmeticError, SyntaxError, RuntimeError)
# Of pydicom and, in the name of this module, of NumPy, at odd headers; once, as readings are done in threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom|src\.datasets\.arrays")


def is_array(content: bytes) -> bool:
    """Whether bytes begin like an array of NumPy, an archive of such, or DICOM, or are a TIFF of such numbers."""
    return content.startswith((b"\x93NUMPY", b"PK\x03\x04")) or is_dicom(content) or _wide(_tiff_tags(content)) != ""


def is_dicom(content: bytes) -> bool:
    """Whether bytes begin like a DICOM file."""
    return content[_DICOM_PREAMBLE : _DICOM_PREAMBLE + 4] == b"DICM"


def read_array(content: bytes) -> NDArray[Any]:
    """The one array of a file that `is_array`, as `settled` leaves it. Raises RefusedError with the reason."""
    if tags := _tiff_tags(content):
        return settled(_read_wide(content, tags))
    if is_dicom(content):
        return _read_dicom(content)
    return settled(_parsed(_only_member(content) if content.startswith(b"PK") else content))


def _tiff_tags(content: bytes) -> dict[int, tuple[int, ...]]:
    """The tags of a TIFF's first page, and at 0 where its next one begins; empty where they cannot be read."""
    if not content.startswith(_TIFF_BEGINNINGS):
        return {}
    try:
        found = TiffImagePlugin.ImageFileDirectory_v2(content[: 16 if 43 in content[2:4] else 8])
        stream = io.BytesIO(content)
        stream.seek(found.next)
        found.load(stream)
        tags = {number: tuple(map(int, np.atleast_1d(found[number]))) for number in _TIFF_TAGS if number in found}
    except (*_ERRORS, struct.error):
        return {}
    return {number: values for number, values in tags.items() if values} | {0: (found.next,)}


def _wide(tags: dict[int, tuple[int, ...]]) -> str:
    """The type of the numbers, as NumPy calls it, of a TIFF of a kind that Pillow does not read; empty of any other."""
    return _WIDE.get((tags.get(339, (1,))[0], tags.get(258, (1,))[0]), "")


def _read_wide(content: bytes, tags: dict[int, tuple[int, ...]]) -> NDArray[Any]:
    """The numbers [H, W] of such a TIFF, turned as it says."""
    kind = np.dtype(_wide(tags)).newbyteorder("<" if content.startswith(b"II") else ">")
    if any(tags.get(number, (1,)) != (1,) for number in (277, 259)) or 273 not in tags:
        raise RefusedError(f"TIFFs of {kind.name} that are compressed, tiled or of several channels; float32 is read")
    (rows, *_), (columns, *_) = tags.get(257, (0,)), tags.get(256, (0,))
    strips = list(zip(tags[273], tags.get(279, ()), strict=False))
    size = rows * columns * kind.itemsize
    if min(rows, columns) < 1 or rows * columns > MAX_PIXELS or sum(length for _, length in strips) > _MOST_BYTES:
        raise RefusedError(_DAMAGED)
    stored = b"".join(content[begin : begin + length] for begin, length in strips)[:size]
    if len(stored) < size:
        raise RefusedError("truncated frames")
    if tags[0] != (0,):
        raise RefusedError(SERIES)
    return turned(np.frombuffer(stored, kind).reshape(rows, columns), tags.get(274, (1,))[0])


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Stored pixels [H, W, ...] as EXIF's orientation 1 to 8 says that they are shown; of another number as stored."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _only_member(content: bytes) -> bytes:
    """The bytes of the one array in an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if len(names) == 1:
                with archive.open(names[0]) as member:
                    found = member.read(_MOST_BYTES + 1)
    except (*_ERRORS, zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, MemoryError):
        raise RefusedError(_DAMAGED) from None
    if len(names) != 1:
        raise RefusedError(f"archives of {len(names)} arrays, where one is expected: which is the frame cannot be told")
    if len(found) > _MOST_BYTES:
        raise RefusedError(_DAMAGED)
    return found


def _parsed(content: bytes) -> NDArray[Any]:
    """One array, without making any Python object of it."""
    try:
        # Of the memory that a header claims, no more is used than bytes are there.
        return np.asarray(npy.read_array(io.BytesIO(content), allow_pickle=False))
    except (*_ERRORS, struct.error, tokenize.TokenError, MemoryError):
        raise RefusedError(_DAMAGED) from None


def settled(array: NDArray[Any]) -> NDArray[Any]:
    """An array as uint8 [H, W] gray levels, uint8 [H, W, 3] colours, uint16 [H, W] gray levels of more than 8 bits, or
    float64 [H, W] numbers that can only be temperatures.

    Axes of length 1 are left out; transparent pixels of [H, W, 4] are black. Raises RefusedError with the reason.
    """
    if array.dtype.kind not in "uif":
        raise RefusedError(f"arrays of {array.dtype}, which are no frames")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)  # a type of other byte order equals no other
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8:
        opaque = array[..., 3:].astype(np.uint16) if array.shape[2] == 4 else np.uint16(255)
        array = (array[..., :3] * opaque // 255).astype(np.uint8)
    elif array.ndim == 3 and array.size:
        raise RefusedError(SERIES)
    elif array.ndim != 2:
        raise RefusedError(f"arrays of {array.ndim} dimensions, which are no frames")
    if not 0 < array.shape[0] * array.shape[1] <= MAX_PIXELS:
        raise RefusedError("arrays without values or larger than any camera's frame")
    if array.dtype == np.uint8:
        return array
    with np.errstate(all="ignore"):  # what is not finite is refused as that
        return array.astype(np.uint16 if array.dtype == np.uint16 else np.float64)


def _scale(value: Any, absent: float) -> float:
    """A number of a DICOM file, which anonymisers leave empty."""
    return absent if value in (None, "") else float(value)


def _read_dicom(content: bytes) -> NDArray[Any]:
    """The frame of a DICOM file: temperatures where its rescaled values can be such, gray levels from dark to bright
    otherwise."""
    try:
        import pydicom
    except ImportError:
        raise RefusedError(
            "DICOM files, which are read with the library pydicom: python -m pip install pydicom==3.0.2"
        ) from None
    try:
        data = pydicom.dcmread(io.BytesIO(content))
        kind = str(data.get("PhotometricInterpretation", ""))
        size = int(data.get("Rows", 0)) * int(data.get("Columns", 0))
        frames = int(data.get("NumberOfFrames", 1) or 1)
        slope, intercept = _scale(data.get("RescaleSlope"), 1.0), _scale(data.get("RescaleIntercept"), 0.0)
        pixels = None
        stored = any(name in data for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
        if kind in ("MONOCHROME1", "MONOCHROME2") and frames == 1 and 0 < size <= MAX_PIXELS and stored and slope:
            pixels = np.asarray(data.pixel_array)
    except (NotImplementedError, RuntimeError):
        raise RefusedError(
            "DICOM files compressed in a way that pydicom cannot unpack; save them uncompressed"
        ) from None
    except Exception as error:  # pydicom lets through whatever damaged elements make Python raise
        raise RefusedError(f"DICOM files that cannot be read ({type(error).__name__})") from None
    if frames != 1:
        raise RefusedError(SERIES)
    if pixels is None:
        raise RefusedError("DICOM files without one monochrome picture")
    rescaled = pixels if (slope, intercept) == (1, 0) else pixels * slope + intercept
    if can_be_temperatures(rescaled):
        return np.asarray(rescaled, dtype=np.float64)
    if (kind == "MONOCHROME1") != (slope < 0):  # the lowest stored value is white
        white_and_black = 255 if pixels.dtype == np.uint8 else int(pixels.max()) + int(pixels.min())
        pixels = (white_and_black - pixels.astype(np.int64)).astype(pixels.dtype)
    if pixels.dtype.kind == "i":
        lowest = min(int(pixels.min()), 0)
        pixels = (pixels.astype(np.int64) - lowest).clip(0, 65535).astype(np.uint16)
    return settled(pixels)
