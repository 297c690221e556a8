"""The cells of a spreadsheet as texts, read with the optional library openpyxl."""

import io
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from src.errors import UserError, one_line
from src.files import MEGABYTE

READ = (".xlsx", ".xlsm")
OTHERS = (".xls", ".xlsb", ".ods", ".numbers")
_BEGINNINGS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # a zip archive, and Excel's files before 2007
_MOST_UNPACKED = 64 * MEGABYTE
_AS_CSV = "save the sheet as CSV"


def is_spreadsheet(content: bytes) -> bool:
    """Whether a file begins as spreadsheets do, whatever it is called."""
    return content.startswith(_BEGINNINGS)


def sheet_rows(path: Path, content: bytes, most: int) -> list[list[str]]:
    """At most so many rows of the only sheet of a file's content that holds anything, every cell as text.

    Raises UserError where openpyxl is missing, the file is no .xlsx, several sheets hold
    something, or the result of a formula is not in the file.
    """
    try:
        import openpyxl
    except ImportError:
        raise UserError(
            f"{path}: a spreadsheet is read with openpyxl (python -m pip install openpyxl==3.1.5); or {_AS_CSV}"
        ) from None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_UNPACKED:
                raise ValueError("too large")
        results, formulas = (
            openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=wanted).worksheets
            for wanted in (True, False)
        )
        if any(_lacks_results(*sheets) for sheets in zip(results, formulas, strict=True)):
            raise UserError(f"{path}: formulas without their results: open it in Excel and save it, or {_AS_CSV}")
        filled = {sheet.title: rows for sheet in results if (rows := list(islice(_rows(sheet), most)))}
    except UserError:
        raise
    except Exception as error:  # openpyxl lets through whatever a damaged file makes Python raise
        raise UserError(f"{path}: no .xlsx that can be read ({type(error).__name__}); {_AS_CSV}") from None
    if len(filled) > 1:
        titles = one_line(", ".join(filled), 200)
        raise UserError(f"{path}: several sheets hold something ({titles}); {_AS_CSV} that is meant")
    return next(iter(filled.values()), [])


def _lacks_results(sheet: Any, typed: Any) -> bool:
    """Whether a sheet has formulas, as in `typed`, and no result of any, as files have that no program computed.

    Single ones may be without: an empty text is none.
    """
    results = [
        value
        for row, typed_row in zip(_cells(sheet), _cells(typed), strict=True)
        for value, entry in zip(row, typed_row, strict=True)
        if (isinstance(entry, str) and entry.startswith("=")) or (entry is not None and value is None)
    ]
    return bool(results) and all(value is None for value in results)


def _cells(sheet: Any) -> Iterator[tuple[Any, ...]]:
    rows: Iterator[tuple[Any, ...]] = sheet.iter_rows(values_only=True, max_col=1000)
    return rows


def _rows(sheet: Any) -> Iterator[list[str]]:
    """The rows that hold something, cut behind the last cell that does, as wide as the first one."""
    for values in _cells(sheet):
        cells = ["" if value is None else str(value).strip() for value in values]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield cells
