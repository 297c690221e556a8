"""The one matrix of numbers in a text file; separators, decimals, header lines and numbering are found."""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.errors import UserError

Numbers = NDArray[np.float64]

_LEAST_COLUMNS = 8  # a list of numbered patients has fewer
_LEAST_LABELLED = 24  # numbers behind a name: a table of measurements by patient has fewer
_LONGEST_ROW = 1 << 20  # characters: bounds the memory that numbers take as texts
_SAMPLED = 20  # rows that separators are told by
_LEAST_FRAME = 8  # rows of a block that may be a frame of its own
_LOOSE = 4  # numbers of a header line at most, such as columns and rows
_REGULAR = 16  # numbers in even steps that are coordinates and no temperatures
_NARROW = 4  # times as long as wide, no picture is
_NUMERIC = re.compile(r"[\s\d.,;+\-eE]*", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_ABSENT = re.compile(r"[-+]?(nan|inf|ol|-*)|#?n/?a|null|none|\*+|[<>].*", re.IGNORECASE)
_NOT_MEASURED = re.compile(r"[-+]?(nan|inf|ol)", re.IGNORECASE)  # of these, what is no name before a row's numbers
_LABEL = re.compile(r"[^;,\t]*[^\W\d_][^;,\t]*[;,\t]")
_SEVERAL = "the matrix has text or gaps within, or repeats: several frames in one file? save each as a file of its own"
_NO_NUMBER = "the matrix holds something that is not a number, or empty fields"
# Of frames under each other: most of them, how much larger than other steps from row to row those between them are at
# least, and the correlation of frames of one session.
_MOST_FRAMES, _JUMP, _ALIKE = 8, 2.0, 0.9
_RAGGED = "the matrix has rows of different length"
AMBIGUOUS = (
    "the matrix has commas for decimals and between numbers, and which is which cannot be told: export it with "
    "semicolons between numbers"
)


@dataclass(frozen=True)
class _Reading:
    """How the numbers of a row are told apart."""

    separator: str
    """; or , or a tab, or a blank for any white space."""
    decimal_comma: bool = False
    pairs: bool = False
    """Commas between numbers as well: each two of what they cut are a number and its decimals."""


@dataclass(frozen=True)
class _Row:
    """One line: its numbers, or None where it is no row of them."""

    numbers: Numbers | None = None
    labelled: bool = False
    """Whether a name or an empty cell stands before the numbers."""
    cells: int = 0
    """Of a line without numbers, how many of its cells are numbers or stand for absent ones; of a blank one, all."""
    blank: bool = False
    fact: bool = False
    """Whether it could be what a camera tells of a frame: a name and its value."""


@dataclass(frozen=True)
class Grid:
    """Numbers [H, W] of a text file, whether rows or columns were numbered, and whether there was nothing but them."""

    numbers: Numbers
    numbered: bool
    plain: bool


def begins_with_matrix(text: str) -> bool:
    """Whether plain text begins with a row of numbers, behind no more than a camera's header.

    A line above them that names each column differently makes it a table.
    """
    above: list[str] = []
    for line in filter(str.strip, text.split("\n")):
        cells = re.split("[;,\t]" if re.search("[;,\t]", line) else r"\s+", line.strip(" "))
        label = _LABEL.match(line)
        numeric = line if _NUMERIC.fullmatch(line) else line[label.end() :] if label else "none"
        least = _LEAST_COLUMNS if numeric is line else _LEAST_LABELLED
        if _NUMERIC.fullmatch(numeric) and len(re.findall(r"\d+", numeric)) >= least:
            names = {re.sub(r"[\W\d_]", "", name) for name in above} - {""}
            return len(above) != len(cells) or len(names) <= 1
        above = cells
    return False


def parse(text: str) -> Grid:
    """The matrix of plain text.

    Raises UserError for text that holds no matrix, several, a ragged one, or anything but numbers in it.
    """
    lines = text.strip("\n ").split("\n")
    if any(len(line) > _LONGEST_ROW for line in lines):
        raise UserError("the matrix has a row longer than any camera's")
    readings = _readings(lines)
    if len(readings) == 1:
        return _grid(lines, readings[0])
    found, errors = [], []
    for reading in readings:
        try:
            found.append(_grid(lines, reading))
        except UserError as error:
            errors.append(error)
    # One of the two makes no picture: degrees and decimals in turn jump from pixel to pixel.
    even = [grid for grid in found if _even(grid.numbers)]
    if even:
        return even[0]
    raise UserError(AMBIGUOUS) if found or str(errors[0]) == _RAGGED else errors[0]


def first_numbers(text: str) -> list[str]:
    """The numbers of plain text, as they are written but with points for decimals."""
    lines = text.strip("\n ").split("\n")
    reading = _readings(lines)[-1]
    return [word for line in lines for word in _words(line, reading)[1] if _NUMBER.fullmatch(word)]


def _readings(lines: Sequence[str]) -> list[_Reading]:
    """How the rows can be read; commas alone leave two ways."""
    rows = [line for line in lines if _NUMERIC.fullmatch(line)]
    rows = rows or [line[label.end() :] for line in lines if (label := _LABEL.match(line))] or list(lines)
    sample = "\n".join(sorted(rows, key=len)[-_SAMPLED:])
    comma, point = "," in sample, "." in sample
    for separator in ";\t":
        if separator in sample:
            return [_Reading(separator, decimal_comma=comma and not point)]
    if not comma:
        return [_Reading(" ")]
    if point:
        return [_Reading(",")]
    if re.search(r",\s+[-+\d]", sample):  # "24,05, 24,04" or "24, 25"
        return [_Reading(", ", decimal_comma=True)]
    if re.search(r"\d +[-+\d]", sample):
        return [_Reading(" ", decimal_comma=True)]
    return [_Reading(","), _Reading(",", pairs=True)]


def _words(line: str, reading: _Reading) -> tuple[bool, list[str]]:
    """Whether a name or an empty cell stands first, and the other cells of a line."""
    if reading.separator == " ":
        words = line.split()
    else:
        words = [word.strip() for word in line.strip(" ").split(reading.separator)]
        while len(words) > 1 and words[-1] == "":
            words.pop()
    if reading.decimal_comma:
        words = [word.replace(",", ".") for word in words]
    labelled = len(words) > 1 and not _NUMBER.fullmatch(words[0]) and not _NOT_MEASURED.fullmatch(words[0])
    words = words[labelled:]
    if reading.separator == "\t":
        filled = [word for word in words if word]
        words = filled if 2 * len(words) >= 3 * len(filled) else words  # doubled tabs; a gap may part two frames
    if reading.pairs:
        words = words[len(words) % 2 :]  # one that stands alone numbers the row
        words = [f"{whole}.{part}" for whole, part in zip(words[::2], words[1::2], strict=True)]
    return labelled, words


def _row(line: str, reading: _Reading) -> _Row:
    if not line.strip(" \t;,"):
        return _Row(blank=True, cells=len(re.findall("[;,\t]", line)) + 1)
    labelled, words = _words(line, reading)
    if _NUMERIC.fullmatch(line) or all(map(_NUMBER.fullmatch, words)):
        with suppress(ValueError):
            # Python reads numbers four times faster than NumPy does from texts.
            numbers = np.array([float(word) for word in words], np.float64)
            return _Row(numbers, labelled, fact=labelled and line.strip()[0].isalpha())
    cells = sum(bool(_NUMBER.fullmatch(word) or _ABSENT.fullmatch(word)) for word in words)
    return _Row(cells=cells, fact=re.search("[;,\t:\N{FULLWIDTH COLON}=]", line.strip()) is not None)


def _grid(lines: Sequence[str], reading: _Reading) -> Grid:
    """The rows of the commonest length; UserError where one between them is another."""
    rows = [_row(line, reading) for line in lines]
    lengths = Counter(len(row.numbers) for row in rows if row.numbers is not None)
    width = max(lengths, key=lambda length: (lengths[length], length), default=0)
    blocks, kept, loose = [0], list[Numbers](), 0  # rows between lines that are none
    numbered = gap = stray = False
    for row in rows:
        if row.numbers is not None and len(row.numbers) == width:
            if gap and kept:
                blocks.append(0)
            if loose and kept:
                raise UserError(_SEVERAL)
            kept.append(row.numbers)
            blocks[-1] += 1
            gap, loose, stray = False, 0, False
            continue
        gap = True
        if row.numbers is not None and not (row.fact and (not kept or len(row.numbers) <= _LOOSE)):
            numbering = not kept and len(row.numbers) == width - 1 and _counts(row.numbers)
            if not numbering and (kept or len(row.numbers) > _LOOSE or width < _LEAST_COLUMNS):
                raise UserError(_RAGGED)
            numbered = numbered or numbering
        elif not row.blank and 2 * row.cells > width:
            raise UserError(_NO_NUMBER)
        loose += not row.blank
        stray = stray or not (row.blank or row.fact)
    if stray or (not kept and loose):
        raise UserError(_NO_NUMBER)
    if len(kept) < 2 or width < 2:
        raise UserError("the matrix has fewer than 2 rows or 2 columns")
    if len(blocks) > 1 and blocks[0] >= _LEAST_FRAME and len(set(blocks)) == 1:
        raise UserError(_SEVERAL)
    if _loses_rows(rows, width):
        raise UserError(_NO_NUMBER)
    matrix, counted = _without_numbering(np.stack(kept))
    if max(matrix.shape) > _NARROW * max(min(matrix.shape), _LEAST_FRAME):
        raise UserError(f"the matrix has {len(matrix)} rows of {matrix.shape[1]} numbers, which is no picture")
    if _is_stack(matrix) or _is_stack(matrix.T):
        raise UserError(_SEVERAL)
    numbered = numbered or counted
    others = any(row.labelled or (row.numbers is None and not row.blank) for row in rows)
    return Grid(matrix, numbered, not (numbered or others or reading.pairs))


def _loses_rows(rows: Sequence[_Row], width: int) -> bool:
    """Whether a row of empty cells stands between rows of numbers: all of its temperatures are absent."""
    full = [place for place, row in enumerate(rows) if row.numbers is not None and len(row.numbers) == width]
    head = rows[full[0]].numbers
    first = full[1 if head is not None and _counts(head) else 0]
    return any(row.blank and 2 * row.cells > width for row in rows[first : full[-1]])


def _even(matrix: Numbers) -> bool:
    """Whether neighbours in a row are mostly alike, as in any picture of a body."""
    return float(np.median(np.abs(np.diff(matrix, axis=1)))) <= 1 + 0.1 * float(np.median(np.abs(matrix)))


def _is_stack(matrix: Numbers) -> bool:
    """Whether frames of one size lie under each other: alike, and with the largest steps between them."""
    rows = len(matrix)
    with np.errstate(all="ignore"):
        steps = np.abs(np.diff(matrix, axis=0)).mean(1)
    for count in range(2, min(rows // _LEAST_FRAME, _MOST_FRAMES) + 1):
        height = rows // count
        if rows % count:
            continue
        frames = matrix.reshape(count, -1)
        between = np.zeros(rows - 1, bool)
        between[height - 1 :: height] = True
        if steps[between].min() <= _JUMP * steps[~between].max() or np.ptp(frames, axis=1).min() == 0:
            continue
        with np.errstate(all="ignore"):  # numbers that are no temperatures can be too large to be squared
            alike = np.asarray(np.corrcoef(frames))
        if alike[0, 1:].min() > _ALIKE:
            return True
    return False


def _without_numbering(matrix: Numbers) -> tuple[Numbers, bool]:
    """A matrix without a first row and a first column that count, and whether there was one."""
    if _begins_anew(matrix[0]):
        raise UserError(_SEVERAL)
    corner = matrix.min() >= 0 and _counts(matrix[0, 1:]) and _counts(matrix[1:, 0])
    row = corner or _numbers_others(matrix)
    column = corner or _numbers_others(matrix.T)
    if row and (matrix[1:] == matrix[0]).all(1).any():
        raise UserError(_SEVERAL)
    return matrix[int(row) :, int(column) :], row or column


def _numbers_others(matrix: Numbers) -> bool:
    """Whether the first row goes up or down in even steps, and the second does not."""
    return len(matrix) > 2 and _counts(matrix[0]) and not _counts(matrix[1])


def _begins_anew(values: Numbers) -> bool:
    """Whether values count, and then the same again: above frames beside each other."""
    width = int(np.argmax(values[1:] == values[0])) + 1
    return _counts(values[:width]) and bool((values == np.resize(values[:width], len(values))).all())


def _counts(values: Numbers) -> bool:
    """Whether values are 0, 1, 2, ... or 1, 2, 3, ..., or many in other even steps: coordinates."""
    if len(values) < 3:
        return False
    step = values[1] - values[0]
    regular = step != 0 and bool(np.allclose(np.diff(values), step, rtol=1e-6, atol=1e-9))
    return regular and (len(values) >= _REGULAR or (step == 1 and values[0] in (0, 1)))
