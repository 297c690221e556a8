"""Temperature matrices as text files, and the gray frames drawn from them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.errors import UserError
from src.files import open_plain, read_plain

_SNIFFED = 1 << 14  # bytes: more than one row of any camera
_LEAST_COLUMNS = 8  # a list of numbered patients has fewer
_LONGEST_ROW = 1 << 20  # characters: bounds the memory that numbers take as texts


def looks_like_matrix(path: Path) -> bool:
    """Whether a text file begins with a row of numbers; raises OSError where it cannot be opened."""
    with open_plain(path) as file:
        begin = file.read(_SNIFFED).removeprefix(b"\xef\xbb\xbf").strip()
    row = re.split(rb"[\r\n]", begin, maxsplit=1)[0]
    return len(re.findall(rb"\d+", row)) >= _LEAST_COLUMNS and re.fullmatch(rb"[\s\d.,;+\-eE]+", row) is not None


def plain_numbers(text: str) -> str:
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
    Raises UserError for a file that is unreadable, larger than any camera's, empty, ragged or holds anything but finite
    numbers.
    """
    try:
        raw = read_plain(path)
    except OSError as error:
        raise UserError(f"the matrix cannot be read ({error.strerror})") from error
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("latin-1").replace("\r", "\n")
    rows: list[NDArray[np.float32]] = []
    for line in plain_numbers(text.strip()).split("\n"):
        if len(line) > _LONGEST_ROW:
            raise UserError("the matrix has a row longer than any camera's")
        words = line.split()
        if rows and words and len(words) != len(rows[0]):
            raise UserError("the matrix has rows of different length")
        if words:
            rows.append(_numbers(words))
    if len(rows) < 2 or len(rows[0]) < 2:
        raise UserError("the matrix has fewer than 2 rows or 2 columns")
    matrix = np.stack(rows)
    if not np.isfinite(matrix).all():
        raise UserError("the matrix holds values that are not finite")
    return matrix


def _numbers(words: list[str]) -> NDArray[np.float32]:
    """The numbers of one row, float32 [W]."""
    if any("_" in word for word in words):  # which Python reads as a part of a number
        raise UserError("the matrix holds something that is not a number")
    try:
        # Python reads numbers four times faster than NumPy does from texts.
        numbers = np.array([float(word) for word in words], np.float64)
    except ValueError as error:
        raise UserError("the matrix holds something that is not a number") from error
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def gray_levels(degrees: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Gray frame uint8 [H, W, 3] of temperatures [H, W]: `low` and colder is black, `high` and warmer is white."""
    if high <= low:
        return np.zeros((*degrees.shape, 3), dtype=np.uint8)
    unit = np.clip((degrees.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return np.repeat(np.rint(unit * 255.0).astype(np.uint8)[..., None], 3, axis=2)
