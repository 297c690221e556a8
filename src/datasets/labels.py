"""What the words of folders, tables and descriptions say about a diagnosis, and tables of labels by patient."""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice
from pathlib import Path, PurePosixPath
from typing import Literal

from src.datasets.spreadsheets import is_spreadsheet, sheet_rows
from src.errors import UserError
from src.files import MEGABYTE, composed, decoded, read_plain

Label = Literal["Healthy", "Sick", "Benign"]
"""Benign is Healthy where it is set against malignant, and neither where healthy people are in the data as well."""

_WORDS: dict[Label, str] = {
    "Healthy": "healthy normal control controls negative negativo saudavel saudaveis sadio sadia sano sana noncancer "
    "gesund gesunde sain saine gezond",
    "Sick": "sick abnormal anormal unhealthy diseased malignant malign maligno maligna cancer cancerous tumor tumour "
    "positive positivo pathological pathology patologico patologia doente doentes enfermo enferma krank kranke malade "
    "malato malata ziek krebs cancro tumore kanker bosartig",
    "Benign": "benign benigno benigna gutartig",
}
_LABELS: dict[str, Label] = {word: label for label, words in _WORDS.items() for word in words.split()}
_LABELS |= {"non cancer": "Healthy", "no cancer": "Healthy", "not sick": "Healthy", "not healthy": "Sick"}
_LABELS |= {"neg": "Healthy", "pos": "Sick", "malignancy": "Sick", "carcinoma": "Sick"}
_YES = {"1", "1.0", "+", "yes", "y", "true", "t", "sim", "si", "ja", "oui"}
_YES |= {"verdadeiro", "verdadero", "wahr", "vrai", "vero"}
_NO = {"0", "0.0", "-", "no", "n", "false", "f", "nao", "non", "nein", "nee"}
_NO |= {"falso", "falsch", "faux"}
"""They mean something only below a header that says what is asked, and where a column holds no other numbers."""
# They say nothing about the diagnosis: "Sick patients" is as good as "sick". Any other word makes a name unknown.
_NEUTRAL = re.compile(
    "breasts?|cases?|class|data|dmr|images?|ir|frames?|patients?|pacientes?|people|subjects?|thermal|thermograms?|wom[ae]n"
)
_PATIENT_COLUMNS = ("(id)?(patient|paciente|subject)(id|number|no)?", "id|number|prontuario|record|code")
_LABEL_COLUMN = "diagnos(is|e|tico)|label|class(e)?|target|status|result|outcome"
_BLANK = " \t\r\n\N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NO-BREAK SPACE}"
_TEXT_CELL = re.compile(r'^="(.*)"$')  # as Excel writes 0012 to keep its zeros
_DELIMITERS = ",;\t|"
_MOST_BYTES = 4 * MEGABYTE  # ten thousand patients with some fifty words each
_MOST_ROWS = 50_000
_MOST_CELLS = 500_000  # rows times columns: a long first row must not make every other one as long
_SERIES = re.compile(r"(p|pac|v)[ _-]?(\d{1,18})", re.IGNORECASE)
_NUMBER = re.compile(r"(?:T(?=\d{4}$)|(?:patient|paciente|subject|id)[ _-]*)?(\d{1,18})(?:[.,]0{1,2})?", re.IGNORECASE)


@dataclass(frozen=True)
class LabelTable:
    """A table of labels by patient: (patient, label) of each row, None where the value is neither healthy nor sick."""

    rows: tuple[tuple[str, Label | None], ...]
    columns: tuple[str, str]
    """What the columns of patient, or of file, and label are called."""
    unknown: tuple[str, ...]
    """Values that are no label, one a row."""
    meaning: str = ""
    """What values such as 0 and 1 were taken for."""


def _plain(text: str) -> str:
    """Small letters without accents, and without blanks around them."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.strip().casefold()) if not unicodedata.combining(c))


def label_of(text: str) -> Label | None:
    """The label that a word or a folder's name stands for, in the spellings that occur; None for any other text, and
    for one with a question mark."""
    plain = _plain(text)
    if "?" in plain:
        return None
    words = re.findall(r"[^\W\d_]+", plain)
    return _LABELS.get(" ".join(word for word in words if not _NEUTRAL.fullmatch(word)))


def patient_number(text: str) -> str | None:
    """The patient whom a folder's name or a table's cell names: `12` for 0012, T0012, "Patient 12" or 12.0; `PAC12` for
    PAC_12, whose number counts an export and not the database's patients; None for any other text.
    """
    if series := _SERIES.fullmatch(text.strip()):
        return f"{series[1].upper()}{int(series[2])}"
    number = _NUMBER.fullmatch(text.strip())
    return str(int(number[1])) if number else None


@dataclass(frozen=True)
class _Columns:
    """The columns of a table, and what its header calls them, in small letters without blanks; "" without a header."""

    path: Path
    header: Sequence[str]
    cells: Sequence[Sequence[str]]

    def hits(self, is_one: Callable[[str], bool]) -> list[int]:
        """How many different cells of each column are one."""
        return [sum(map(is_one, set(column))) for column in self.cells]

    def only(self, found: Sequence[int], what: str) -> int:
        """The one column found; UserError where there is none or more than one."""
        if len(found) != 1:
            names = ", ".join(self.header[column] or f"column {column + 1}" for column in found)
            problem = f"several columns could hold {what}: {names}; keep one" if found else f"no column holds {what}"
            raise UserError(f"{self.path}: {problem}")
        return found[0]


def read_label_table(path: Path, known: Collection[str], files: Mapping[str, str] | None = None) -> LabelTable:
    """Labels by patient or by file from a table, a text or a spreadsheet, with or without a header; its delimiter and
    columns are found by themselves.

    `known` are the patients whom the table is for: they tell the patient column where its name does not. `files` are
    the patients of file names, with and without folder and suffix, for a table that names files instead.
    Raises UserError where the file is no such table or where two columns could be meant.
    """
    rows = _read_rows(path)
    first = rows[0]
    asks = [_asked(cell, values) for cell, values in zip(first, _columns(rows[1:], len(first)), strict=True)]
    # A header may be a label too: "Cancer" above yes and no.
    headed = not any(label_of(cell) and not asked for cell, asked in zip(first, asks, strict=True))
    header = [re.sub(r"\W|_", "", _plain(cell)) if headed else "" for cell in first]
    table = _Columns(path, header, _columns(rows[headed:], len(first)))
    meant = [
        [label_of(cell) or (asked.get(_plain(cell)) if headed else None) for cell in column]
        for column, asked in zip(table.cells, asks, strict=True)
    ]
    label = _label_column(table, meant)
    patients, patient = _patients(table, label, known, {table_key(name): who for name, who in (files or {}).items()})
    names = [first[column] if headed else f"column {column + 1}" for column in (patient, label)]
    labels = table.cells[label]
    found = list(zip(patients, meant[label], labels, strict=True))
    return LabelTable(
        tuple((who, value) for who, value, _ in found if who),
        (names[0], names[1]),
        tuple(text for _, value, text in found if value is None),
        ", ".join(f"{text} counts as {meaning}" for text, meaning in _shown(labels, asks[label]) if headed),
    )


def _columns(rows: Sequence[Sequence[str]], count: int) -> list[list[str]]:
    """The first columns of rows that may be shorter."""
    return [[row[column] if column < len(row) else "" for row in rows] for column in range(count)]


def _asked(header: str, values: Sequence[str]) -> dict[str, Label]:
    """What yes and no mean in a column of such answers, if its header tells; empty where it does not.

    The header asks for a diagnosis, for healthy or for sick. Ones alone are not enough: healthy may be 1 and sick 2.
    """
    answers = {_plain(value) for value in values if value.strip() and label_of(value) is None}
    if not answers & _NO or any(re.search(r"\d", answer) for answer in answers - _YES - _NO):
        return {}
    spoken = re.findall(r"[^\W\d_]+", header)
    words = " ".join(word for word in spoken if _plain(word) not in ("is", "has", "with", "tem"))
    yes = label_of(words) or ("Sick" if re.fullmatch(_LABEL_COLUMN, re.sub(r"\W|_", "", _plain(header))) else None)
    if yes not in ("Healthy", "Sick"):
        return {}
    no: Label = "Sick" if yes == "Healthy" else "Healthy"
    return dict.fromkeys(_YES, yes) | dict.fromkeys(_NO, no)


def _shown(values: Sequence[str], asked: Mapping[str, Label]) -> list[tuple[str, Label]]:
    """Each answer of a column with its meaning."""
    return sorted({(cell, asked[_plain(cell)]) for cell in values if label_of(cell) is None and _plain(cell) in asked})


def table_key(text: str) -> str:
    """A file's name or path as `read_label_table` looks it up, whatever the case of its letters."""
    return composed(text.strip()).replace("\\", "/").removeprefix("./").casefold()


def _read_rows(path: Path) -> list[list[str]]:
    """The table's rows without blank ones and without the rows of one filled cell above it, cells stripped."""
    try:
        raw = read_plain(path, _MOST_BYTES)
    except OSError as error:
        raise UserError(f"{path}: the table of labels cannot be read: {error.strerror}") from None
    tables = [sheet_rows(path, raw, _MOST_ROWS + 1)] if is_spreadsheet(raw) else _split(path, raw)
    untitled = [list(dropwhile(lambda row: sum(map(bool, row)) < 2, rows)) for rows in tables]
    # The delimiter cuts the most rows into as many cells as the first one has.
    rows = max(untitled, key=lambda rows: sum(len(row) == len(rows[0]) > 1 for row in rows))
    if not rows or len(rows[0]) < 2:
        raise UserError(f"{path}: no table of labels: one column for the patient and one for the label are needed")
    if len(rows) > _MOST_ROWS or len(rows) * len(rows[0]) > _MOST_CELLS:
        raise UserError(
            f"{path}: more than {_MOST_ROWS} rows or {_MOST_CELLS} cells: no table of labels; a row a patient and the "
            "columns of patient and label are enough"
        )
    return rows


def _split(path: Path, raw: bytes) -> list[list[list[str]]]:
    """The rows of a text, cut at each of the delimiters that it may have."""
    text, delimiters = re.sub("\r+\n|\r", "\n", decoded(raw, "latin-1")), _DELIMITERS
    if named := re.match(r"sep=(.)\n", text):  # Excel's own first line
        text, delimiters = text[named.end() :], named[1]
    tables = []
    try:
        for delimiter in delimiters:
            rows = islice(csv.reader(io.StringIO(text), delimiter=delimiter), _MOST_ROWS + 1)
            parsed = ([composed(_TEXT_CELL.sub(r"\1", cell.strip(_BLANK))) for cell in row] for row in rows)
            tables.append([row for row in parsed if any(row)])
    except csv.Error as error:
        raise UserError(f"{path}: no table of labels: {error}") from None
    return tables


def _label_column(table: _Columns, meant: Sequence[Sequence[Label | None]]) -> int:
    def share(column: int) -> float:
        return sum(label is not None for label in meant[column]) / max(1, sum(map(bool, table.cells[column])))

    named = [n for n, name in enumerate(table.header) if re.fullmatch(_LABEL_COLUMN, name) and share(n) > 0]
    found = named or [column for column in range(len(meant)) if share(column) >= 0.5]
    found = sorted({tuple(meant[column]): column for column in reversed(found)}.values())  # one of those that say alike
    return table.only(found, "labels (values such as Healthy and Sick; 0 and 1 below a header such as label)")


def _patients(table: _Columns, label: int, known: Collection[str], files: Mapping[str, str]) -> tuple[list[str], int]:
    """The patient of each row, and the column that tells: by patients' numbers, or else by names of files."""

    def of_number(cell: str) -> str:
        return patient_number(cell) or cell

    def of_file(cell: str) -> str | None:
        return files.get(table_key(cell)) or files.get(PurePosixPath(table_key(cell)).name)

    others = [column for column in range(len(table.cells)) if column != label]
    column = _patient_column(table, others, table.hits(lambda cell: of_number(cell) in known))
    if column is not None:
        return [of_number(cell) for cell in table.cells[column]], column
    hits = table.hits(lambda cell: of_file(cell) is not None)
    most = max(hits[column] for column in others)
    if not most:
        ways = "numbers, or files" if files else "numbers"
        raise UserError(f"{table.path}: no column holds patients of the source; its values must be their {ways}")
    column = table.only([column for column in others if hits[column] == most], "files")
    return [of_file(cell) or cell for cell in table.cells[column]], column


def _patient_column(table: _Columns, others: Sequence[int], hits: Sequence[int]) -> int | None:
    """The column of patients by its name, or that with the most known ones; None where none holds one."""
    for names in _PATIENT_COLUMNS:
        named = [column for column in others if re.fullmatch(names, table.header[column])]
        if any(hits[column] for column in named):
            return table.only(named, "patients")
    most = max(hits[column] for column in others)
    return table.only([column for column in others if hits[column] == most], "patients") if most else None
