"""Temperature matrices: every layout reads the same, and a damaged one is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from src.datasets.matrices import read_matrix
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
@given(
    matrix=arrays(
        np.float64,
        st.tuples(st.integers(2, 5), st.integers(2, 5)),
        elements=st.floats(-40, 120, allow_nan=False).map(lambda value: round(value, 2)),
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
