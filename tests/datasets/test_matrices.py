"""Temperature matrices: every layout reads the same, and a damaged one is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from PIL import Image

from src.datasets.matrices import looks_like_matrix, matrix_bytes, read_matrix, read_temperatures
from src.errors import UserError

LAYOUTS = {
    "spaces": (" ", ".", "\n", 2),
    "doubled carriage returns": (" ", ".", "\r\r\n", 2),
    "semicolons": (";", ".", "\r\n", 5),
    "tabs": ("\t", ".", "\r", 3),
    "commas": (",", ".", "\n", 2),
    "commas and spaces": (", ", ".", "\n", 2),
    "decimal commas": (" ", ",", "\r\n", 2),
    "semicolons and decimal commas": (";", ",", "\r\n", 3),
}


def write_text(
    path: Path, matrix: np.ndarray, separator: str, point: str, end: str, digits: int, tail: str = ""
) -> None:
    lines = [separator.join(f"{value:.{digits}f}".replace(".", point) for value in row) + tail for row in matrix]
    path.write_bytes((end.join(lines) + end + end).encode())


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=25)
@given(
    matrix=arrays(
        np.float64,
        st.tuples(st.integers(2, 5), st.integers(2, 5)),
        elements=st.floats(11, 44, allow_nan=False).map(lambda value: round(value, 2)),
    ),
    trailing=st.booleans(),
)
def test_every_layout_reads_the_same(
    layout: str, matrix: np.ndarray, trailing: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    separator, point, end, digits = LAYOUTS[layout]
    path = tmp_path_factory.getbasetemp() / "matrix.txt"
    write_text(path, matrix, separator, point, end, digits, separator if trailing else "")
    read = read_matrix(path)
    assert read.dtype == np.float32
    assert_allclose(read, matrix, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "21.0 22.0",
        "21 22\n23",
        "21 22\n23 spam",
        "21 nan\n23 24",
        "21 inf\n23 24",
        "21;;22\n23;;24",
        "21,,22.5\n1,,2",
        "2_1 22\n23 24",
        "1 " * 600_000 + "\n1 2",
        "1\n" * 5,
        "21 22\n\x00 24",
    ],
)
def test_damaged_matrices_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "matrix.txt").write_text(text)
    with pytest.raises(UserError, match="the matrix"):
        read_matrix(tmp_path / "matrix.txt")


def test_what_is_no_file_of_a_camera_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with (tmp_path / "large.txt").open("wb") as file:
        file.truncate(1 << 40)  # takes no disk
    for name, words in (("pipe.txt", "no plain file"), ("large.txt", "larger than 32 megabytes"), (".", "")):
        with pytest.raises(UserError, match=f"the matrix cannot be read.*{words}"):
            read_matrix(tmp_path / name)


BODY = np.round(24 + 9 * np.exp(-((np.mgrid[:20, :32][0] - 10) ** 2 + (np.mgrid[:20, :32][1] - 16) ** 2) / 80), 2)


def written(separator: str = ";", point: str = ",", values: np.ndarray = BODY, form: str = "{:.2f}") -> list[str]:
    return [separator.join(form.format(value).replace(".", point) for value in row) for row in values]


def numbered(lines: list[str], separator: str, first: int = 0, corner: str | None = "") -> list[str]:
    """With numbers before each row and, with a corner, above each column."""
    columns = separator.join(str(first + column) for column in range(32))
    head = [] if corner is None else [corner + separator + columns]
    return head + [f"{first + row}{separator}{line}" for row, line in enumerate(lines)]


CAMERA = ["File;C:\\IR_0001.jpg;;", ";;;", "Emissivity:;0,98;;", "Refl. temp:;20,0", ""]
FORMS = {
    "commas for decimals and between": written(",", ","),
    "one decimal with commas for both": written(",", ",", np.round(BODY, 1), "{:.1f}"),
    "commas for both and a numbered row": numbered(written(",", ","), ",", corner=None),
    "exponents with decimal commas": written("\t", ",", BODY, "{:.3E}"),
    "decimal commas, comma and blank between": written(", ", ","),
    "whole degrees between commas": written(",", ".", np.rint(BODY), "{:.0f}"),
    "column numbers from 0": [",".join(map(str, range(32))), *written(",", ".")],
    "column numbers from 1": [";".join(map(str, range(1, 33))), *written()],
    "row numbers": numbered(written(",", "."), ",", corner=None),
    "both, as pandas writes them": numbered(written(",", "."), ","),
    "both with a number in the corner": numbered(written(" ", "."), " ", corner="0"),
    "both without a corner": ["    " + " ".join(map(str, range(32))), *numbered(written(" ", "."), " ", corner=None)],
    "both with a name in the corner": numbered(written(), ";", 1, "y/x"),
    "coordinates in millimetres": [";".join(f"{0.5 * x:.1f}".replace(".", ",") for x in range(32)), *written()],
    "columns with names": [",".join(f"x{x}" for x in range(32)), *written(",", ".")],
    "a camera's header and a cell before the rows": [
        *CAMERA,
        "Image 1;" + written()[0],
        *(";" + row for row in written()[1:]),
    ],
    "a camera's header of key = value": ["Width = 32", "Height = 20", "Unit: C", "", *written("\t", ".")],
    "a line with columns and rows": ["32 20", *written(" ", ".")],
    "quoted numbers with decimal commas": [f'"{row}"' for row in written('","', ",")],
    "quoted numbers and a quoted header": ['"Emissivity","0,98"', *(f'"{row}"' for row in written('";"', ","))],
    "a unit in one letter": [",".join(f"{value}\N{DEGREE CELSIUS}" for value in row) for row in BODY],
    "colons of a Chinese text": ["发射率\N{FULLWIDTH COLON}0.95", *written(), "最高\N{FULLWIDTH COLON}33.0"],
    "doubled tabs": written("\t\t"),
    "a unit in each cell": [";".join(f"{value} \N{DEGREE SIGN}C" for value in row) for row in BODY],
    "statistics below": [*written(), "", "Max;33,0", "Mean;26,1"],
    "lines with names": [f"Line {n};{row}" for n, row in enumerate(written(), 1)],
} | {
    f"{sign} behind each number": [";".join(f"{value}{sign}" for value in row) for row in BODY]
    for sign in ("C", "F", "K", "\N{MASCULINE ORDINAL INDICATOR}", "\N{DEGREE FAHRENHEIT}")
}


def test_a_unit_in_the_encoding_of_western_windows_is_left_out(tmp_path: Path) -> None:
    lines = [";".join(f"{value:.2f} \N{DEGREE SIGN}C" for value in row) for row in BODY]
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode("latin-1"))
    assert looks_like_matrix(tmp_path / "a.csv")
    assert_allclose(read_matrix(tmp_path / "a.csv"), BODY, atol=1e-5)


@pytest.mark.parametrize("lines", FORMS.values(), ids=FORMS)
def test_what_is_no_temperature_is_left_out(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert looks_like_matrix(path)
    digits = 0.051 if lines is FORMS["one decimal with commas for both"] else 0.006
    expected = np.rint(BODY) if lines is FORMS["whole degrees between commas"] else BODY
    found = read_temperatures(path)
    assert_allclose(found.degrees, expected, atol=digits)
    path.write_bytes(matrix_bytes(found.degrees))
    assert np.array_equal(read_matrix(path), found.degrees)
    assert read_temperatures(path).text == path.read_bytes()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_is_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("\r\n".join(written()).encode(encoding))
    assert looks_like_matrix(tmp_path / "a.txt")
    assert_allclose(read_matrix(tmp_path / "a.txt"), BODY, atol=1e-5)


UNITS = {
    "degrees Fahrenheit": (BODY * 1.8 + 32, "{:.3f}"),
    "Kelvin": (BODY + 273.15, "{:.2f}"),
    "hundredths of a Kelvin": (BODY * 100 + 27315, "{:.0f}"),
}


@pytest.mark.parametrize("unit", UNITS)
def test_other_units_become_degrees_celsius(tmp_path: Path, unit: str) -> None:
    values, form = UNITS[unit]
    (tmp_path / "a.txt").write_text("\n".join(written(" ", ".", values, form)))
    Image.fromarray(np.rint(values * (1 if "hundredths" in unit else 100)).astype(np.uint16)).save(tmp_path / "b.png")
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "b.tif")
    np.save(tmp_path / "b.npy", values)
    np.savez(tmp_path / "b.npz", values)
    names = ["a.txt", "b.tif", "b.npy", "b.npz", *(["b.png"] if "hundredths" in unit else [])]
    for name in names:
        found = read_temperatures(tmp_path / name)
        assert_allclose(found.degrees, BODY, atol=1e-3)
        told = f"numbers whose median is not between 10 and 45 C: taken for {unit} and turned to degrees Celsius"
        assert found.remarks == (told,)


NO_TEMPERATURES = {
    "levels of a picture": BODY * 7,
    "dark levels of a picture": np.rint(np.interp(BODY, [BODY.min(), 26, BODY.max()], [0, 55, 100])),
    "unit range": BODY / 40,
    "hundredths of a degree": BODY * 100,
    "tenths of a Kelvin": BODY * 10 + 2731.5,
    "counts of a sensor": BODY * 30 + 7000,
    "a mark of an absent pixel": np.where(BODY > 32.9, 3276.7, BODY),
    "Kelvin with zeros around": np.where(BODY > 25, BODY + 273.15, 0),
    "nothing": BODY * 0,
    "times in the first column": np.column_stack([1e6 + np.arange(20.0) ** 2, BODY]),
}


@pytest.mark.parametrize("values", NO_TEMPERATURES.values(), ids=NO_TEMPERATURES)
def test_other_numbers_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    (tmp_path / "a.txt").write_text("\n".join(written(" ", ".", values, "{:.3f}")))
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "b.tif")
    for name in ("a.txt", "b.tif"):
        with pytest.raises(UserError, match="no temperatures of a body"):
            read_matrix(tmp_path / name)


SEVERAL = {
    "a title between": [*written(), "Frame 2", *written()],
    "blank lines between": [*written(), "", "", *written(values=BODY + 0.5)],
    "nothing between": 2 * written(values=BODY + np.arange(20)[:, None]),
    "each with column numbers": 2 * [";".join(map(str, range(32))), *written()],
    "beside each other": [f"{row};{row}" for row in written(values=BODY + np.arange(32) / 9)],
    "column numbers that begin anew": [";".join(2 * list(map(str, range(32)))), *written(values=np.hstack([BODY] * 2))],
    "a column without numbers between": ["\t\t".join([row] * 2) for row in written("\t")],
    "one in each row": written(values=np.stack([BODY.ravel()] * 3)),
}


@pytest.mark.parametrize("lines", SEVERAL.values(), ids=SEVERAL)
def test_several_frames_in_one_file_are_refused(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "a.txt").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"several frames in one file|no picture|empty fields"):
        read_matrix(tmp_path / "a.txt")


def test_commas_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    without_zeros = [row.replace(",00", "").replace("0,", ",") for row in written(",", ",")]
    without_zeros[3] = without_zeros[3] + ",24"
    (tmp_path / "a.csv").write_text("\n".join(without_zeros))
    with pytest.raises(UserError, match="cannot be told"):
        read_matrix(tmp_path / "a.csv")


def with_absent(place: slice | int, word: str, row: int = 9) -> list[str]:
    """Rows of a camera's CSV, one of which has `word` where there is no temperature."""
    cells = written()[row].split(";")
    chosen = range(len(cells))[place] if isinstance(place, slice) else [place]
    return [
        *written()[:row],
        ";".join(word if n in chosen else cell for n, cell in enumerate(cells)),
        *written()[row + 1 :],
    ]


ABSENT = {
    "a row of empty cells": with_absent(slice(None), ""),
    "a first row of OL": with_absent(slice(None), "OL", 0),
    "a last row beyond the range": with_absent(slice(None), ">120,0", 19),
    "a first cell that is not a number": with_absent(0, "NaN"),
    "a first column that is not a number": [f"NaN;{row}" for row in written()],
}


@pytest.mark.parametrize("lines", ABSENT.values(), ids=ABSENT)
def test_no_row_or_column_is_lost_for_what_is_absent_in_it(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(UserError, match="not a number, or empty fields"):
        read_matrix(tmp_path / "a.csv")


def test_empty_rows_above_and_below_are_no_rows_of_the_frame(tmp_path: Path) -> None:
    empty = ";" * 31
    (tmp_path / "a.csv").write_text("\n".join([empty, *written(), empty]))
    assert_allclose(read_matrix(tmp_path / "a.csv"), BODY, atol=1e-5)


@pytest.mark.parametrize(("separator", "point"), [("\t", "."), (";", ","), (",", ",")])
def test_three_decimals_are_decimals(tmp_path: Path, separator: str, point: str) -> None:
    (tmp_path / "a.csv").write_text("\n".join(written(separator, point, form="{:.3f}")))
    assert_allclose(read_matrix(tmp_path / "a.csv"), BODY, atol=1e-5)


@pytest.mark.parametrize(
    "lines",
    [
        ["ID,age,t1,t2,t3,t4,t5,t6,t7", *(f"{n},34,36.1,36.2,36.3,36.4,36.5,36.1,36.0" for n in range(1, 9))],
        ["patient;age;label"] + [f"{n};{30 + n};{n % 2}" for n in range(9)],
        [f"P{n:02d},34,36.1,36.2,36.3,36.4,36.5,36.1,36.0" for n in range(1, 9)],
    ],
)
def test_tables_of_patients_are_no_matrices(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert not looks_like_matrix(tmp_path / "a.csv")
