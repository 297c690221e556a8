"""Temperature matrices as text files, pictures and arrays, and the gray frames drawn from them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.datasets import images
from src.datasets.arrays import is_dicom
from src.datasets.matrix_text import begins_with_matrix, first_numbers, parse
from src.datasets.temperatures import Temperatures, celsius
from src.errors import UserError
from src.files import decoded, open_plain, read_plain

TEXTS = (".txt", ".csv", ".tsv")
_PLAIN = re.compile(rb"[\s\d.,;+\-eE]*")
_UNIT = re.compile(r"(?<=\d) ?(?:[°º] ?[CFK]?|[℃℉]|[CFK](?=\s*(?:[;,\t\n]|$)))")
_IN_UNITS = "°º℃℉CFK"  # of these each has one
_SNIFFED = 1 << 16  # bytes: more than a camera's header and one row


def looks_like_matrix(path: Path) -> bool:
    """Whether a text file begins with a row of numbers, behind a camera's header lines where there are some; raises
    OSError where it cannot be opened."""
    return begins_with_matrix(_beginning(path, _SNIFFED))


def _beginning(path: Path, size: int) -> str:
    with open_plain(path) as file:
        raw = file.read(size)
    if len(raw) == size:  # the last line may be cut, even in a letter
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    return _plain_text(raw)


def _plain_text(raw: bytes) -> str:
    """Text of a file of numbers: without byte order mark, quotes and units behind numbers, points for the decimal
    commas inside quotes, each line ended by one line feed."""
    text = decoded(raw, "latin-1")
    if not text.isascii():
        text = text.translate({0x2212: "-", 0xA0: " ", 0x202F: " "})  # a minus sign, blanks that do not break
    if '"' in text:
        text = re.sub(r'"([^"\r\n]*)"', lambda cell: cell[1].replace(",", "."), text)
    # Looking for what is not there at all takes most of the time, but for single characters.
    if "\r" in text:
        text = re.sub(r"\r*\n|\r", "\n", text)
    return _UNIT.sub("", text) if any(sign in text for sign in _IN_UNITS) else text


def written_numbers(path: Path, size: int) -> list[str]:
    """The first numbers of a matrix as they are written, of so many bytes; raises OSError as `looks_like_matrix`."""
    return first_numbers(_beginning(path, size))


def read_matrix(path: Path) -> NDArray[np.float32]:
    """Temperature matrix float32 [H, W] in degrees Celsius, as `read_temperatures` finds it."""
    return read_temperatures(path).degrees


def read_temperatures(path: Path) -> Temperatures:
    """Temperatures of a text file, a picture of more than 8 bits or an array, in any of the forms seen in the wild.

    In a text, numbers stand between spaces, tabs, semicolons or commas; decimals have points or commas; header lines,
    names and numbering of rows and columns are left out. Lines end in any mixture of carriage returns and line feeds,
    blank ones are ignored. Raises UserError for a file that is unreadable, larger than any camera's, empty, ragged, of
    several frames, or holds anything but numbers that can be temperatures.
    """
    if path.suffix.lower() in images.SUFFIXES or (not path.suffix and path.is_file()):  # DICOM has often none
        return _of_picture(path)
    try:
        raw = read_plain(path)
        if path.suffix.lower() not in TEXTS and is_dicom(raw):  # their names end in anything
            return _of_picture(path)
    except OSError as error:
        raise UserError(f"the matrix cannot be read ({error.strerror})") from error
    grid = parse(_plain_text(raw))
    try:
        found = celsius(grid.numbers)
    except UserError as error:
        raise UserError(f"the matrix holds {error}") from None
    numbering = ("numbering of rows or columns beside temperatures, left out",) if grid.numbered else ()
    plain = grid.plain and not found.remarks and _PLAIN.fullmatch(raw) is not None
    return replace(found, remarks=numbering + found.remarks, text=raw if plain else b"")


def _of_picture(path: Path) -> Temperatures:
    numbers = images.read_numbers(path)
    if numbers is None:
        raise UserError("a picture of gray levels or colours, which holds no temperatures")
    return celsius(numbers)


def matrix_bytes(degrees: NDArray[np.float32]) -> bytes:
    """The text of a matrix, each number with as few digits as tell it."""
    return "".join(" ".join(row) + "\n" for row in degrees.astype(str).tolist()).encode()


def gray_levels(degrees: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Gray frame uint8 [H, W, 3] of temperatures [H, W]: `low` and colder is black, `high` and warmer is white."""
    if high <= low:
        return np.zeros((*degrees.shape, 3), dtype=np.uint8)
    unit = np.clip((degrees.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return np.repeat(np.rint(unit * 255.0).astype(np.uint8)[..., None], 3, axis=2)
