"""What the words of folders, tables and descriptions say about a diagnosis, and tables of labels by patient."""

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from src.errors import UserError
from src.files import MEGABYTE, read_plain

Label = Literal["Healthy", "Sick", "Benign"]
"""Benign is Healthy where it is set against malignant, and neither where healthy people are in the data as well."""

_WORDS: dict[Label, str] = {
    "Healthy": "healthy normal control controls negative negativo saudavel saudaveis sadio sadia sano sana noncancer",
    "Sick": "sick abnormal anormal unhealthy diseased malignant malign maligno maligna cancer cancerous tumor tumour "
    "positive positivo pathological pathology patologico patologia doente doentes enfermo enferma",
    "Benign": "benign benigno benigna",
}
_LABELS: dict[str, Label] = {word: label for label, words in _WORDS.items() for word in words.split()}
_LABELS |= {"non cancer": "Healthy", "no cancer": "Healthy", "not sick": "Healthy", "not healthy": "Sick"}
# They say nothing about the diagnosis: "Sick patients" is as good as "sick". Any other word makes a name unknown.
_NEUTRAL = re.compile(
    "breasts?|cases?|class|data|dmr|images?|ir|frames?|patients?|pacientes?|people|subjects?|thermal|thermograms?|wom[ae]n"
)
_PATIENT_COLUMNS = ("(id)?(patient|paciente|subject)(id|number|no)?", "id|number|prontuario|record|code")
_LABEL_COLUMN = "diagnos(is|e|tico)|label|class(e)?|target|status|result|outcome"
_DELIMITERS = ",;\t|"
_MOST_BYTES = 4 * MEGABYTE  # ten thousand patients with some fifty words each
_MOST_ROWS = 50_000
_MOST_CELLS = 500_000  # rows times columns: a long first row must not make every other one as long
_SERIES = re.compile(r"(p|pac|v)[ _-]?(\d{1,18})", re.IGNORECASE)
_NUMBER = re.compile(r"(?:T(?=\d{4}$)|(?:patient|paciente|subject|id)[ _-]*)?(\d{1,18})(?:\.0)?", re.IGNORECASE)


@dataclass(frozen=True)
class LabelTable:
    """A table of labels by patient: (patient, label) of each row, None where the value is neither healthy nor sick."""

    rows: tuple[tuple[str, Label | None], ...]
    columns: tuple[str, str]
    """What the columns of patient and label are called."""
    unknown: tuple[str, ...]
    """Values that are no label, one a row."""


def _plain(text: str) -> str:
    """Small letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def label_of(text: str) -> Label | None:
    """The label that a word or a folder's name stands for, in the spellings that occur; None for any other text."""
    words = re.findall(r"[^\W\d_]+", _plain(text))
    return _LABELS.get(" ".join(word for word in words if not _NEUTRAL.fullmatch(word)))


def patient_number(text: str) -> str | None:
    """The patient whom a folder's name or a table's cell names: `12` for 0012, T0012, "Patient 12" or 12.0; `PAC12` for
    PAC_12, whose number counts an export and not the database's patients; None for any other text.
    """
    if series := _SERIES.fullmatch(text.strip()):
        return f"{series[1].upper()}{int(series[2])}"
    number = _NUMBER.fullmatch(text.strip())
    return str(int(number[1])) if number else None


def read_label_table(path: Path, known: Collection[str]) -> LabelTable:
    """Labels by patient from a text table with or without a header; its delimiter and columns are found by themselves.

    `known` are the patients whom the table is for: they tell the patient column where its name does not.
    Raises UserError where the file is no such table or where two columns could be meant.
    """
    rows = _read_rows(path)
    header = [] if any(label_of(cell) for cell in rows[0]) else [re.sub(r"\W|_", "", _plain(cell)) for cell in rows[0]]
    body = rows[1:] if header else rows
    columns = [[row[column] if column < len(row) else "" for row in body] for column in range(len(rows[0]))]
    label = _label_column(path, columns, header)
    patient = _patient_column(path, columns, header, label, known)
    pairs = [
        (patient_number(who) or who, label_of(value), value)
        for who, value in zip(columns[patient], columns[label], strict=True)
    ]
    names = [rows[0][column] if header else f"column {column + 1}" for column in (patient, label)]
    return LabelTable(
        tuple((who, value) for who, value, _ in pairs if who),
        (names[0], names[1]),
        tuple(text for _, value, text in pairs if value is None),
    )


def _read_rows(path: Path) -> list[list[str]]:
    """The table's rows without blank ones, cells stripped."""
    try:
        raw = read_plain(path, _MOST_BYTES)
    except OSError as error:
        raise UserError(f"{path}: the table of labels cannot be read: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")

    def split(delimiter: str) -> list[list[str]]:
        parsed = (
            [cell.strip() for cell in row]
            for row in islice(csv.reader(io.StringIO(text), delimiter=delimiter), _MOST_ROWS + 1)
        )
        return [row for row in parsed if any(row)]

    try:
        tables = [split(delimiter) for delimiter in _DELIMITERS]
    except csv.Error as error:
        raise UserError(f"{path}: no table of labels: {error}") from None
    # The delimiter cuts the most rows into as many cells as the first one has.
    rows = max(tables, key=lambda rows: sum(len(row) == len(rows[0]) > 1 for row in rows))
    if not rows or len(rows[0]) < 2:
        raise UserError(f"{path}: no table of labels: one column for the patient and one for the label are needed")
    if len(rows) > _MOST_ROWS or len(rows) * len(rows[0]) > _MOST_CELLS:
        raise UserError(
            f"{path}: more than {_MOST_ROWS} rows or {_MOST_CELLS} cells: no table of labels; a row a patient and the "
            "columns of patient and label are enough"
        )
    return rows


def _label_column(path: Path, columns: Sequence[Sequence[str]], header: Sequence[str]) -> int:
    def share(column: int) -> float:
        filled = [cell for cell in columns[column] if cell]
        return sum(label_of(cell) is not None for cell in filled) / max(1, len(filled))

    named = [column for column, name in enumerate(header) if re.fullmatch(_LABEL_COLUMN, name) and share(column) > 0]
    found = named or [column for column in range(len(columns)) if share(column) >= 0.5]
    return _only(path, found, header, "labels (values such as Healthy and Sick)")


def _patient_column(
    path: Path, columns: Sequence[Sequence[str]], header: Sequence[str], label: int, known: Collection[str]
) -> int:
    def hits(column: int) -> int:
        return sum((patient_number(cell) or cell) in known for cell in set(columns[column]))

    others = [column for column in range(len(columns)) if column != label]
    for names in _PATIENT_COLUMNS:
        named = [column for column in others if column < len(header) and re.fullmatch(names, header[column])]
        if any(hits(column) for column in named):
            return _only(path, named, header, "patients")
    most = max(hits(column) for column in others)
    if not most:
        raise UserError(f"{path}: no column holds patients of the source; its values must be their numbers")
    return _only(path, [column for column in others if hits(column) == most], header, "patients")


def _only(path: Path, found: Sequence[int], header: Sequence[str], what: str) -> int:
    """The one column found; UserError where there is none or more than one."""
    if len(found) != 1:
        names = ", ".join(header[column] if column < len(header) else f"column {column + 1}" for column in found)
        problem = f"several columns could hold {what}: {names}; keep one" if found else f"no column holds {what}"
        raise UserError(f"{path}: {problem}")
    return found[0]
