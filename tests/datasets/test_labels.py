"""Tables of labels that are no tables, or too much of one."""

import os
from pathlib import Path

import pytest

from src.datasets.labels import read_label_table
from src.errors import UserError

DAMAGED = {
    "no table": b"hello",
    "nothing": b"",
    "binary": bytes(range(256)) * 4,
    "a field without end": b'1,"Sick' + b"x" * 200_000,
    "a first row that is longer than all others": b"id,label" + b",x" * 50_000 + b"\n" + b"1,Sick\n" * 50,
    "too many rows": b"1,Sick\n" * 50_001,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_no_table_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"^.{1,1000}$") as caught:
        read_label_table(path, ["1"])
    assert str(path) in str(caught.value)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(UserError, match="no plain file"):
        read_label_table(tmp_path / "labels.csv", ["1"])


def test_a_table_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("paciente;diagn\u00f3stico\n1;saud\u00e1vel\n2;doente\n".encode("latin-1"))
    assert read_label_table(tmp_path / "labels.csv", ["1", "2"]).rows == (("1", "Healthy"), ("2", "Sick"))


ALIKE = {
    "lines of old Macs": b"id,diagnosis\r1,Healthy\r2,Sick\r",
    "a column twice": b"id,diagnosis,diagnosis\n1,Healthy,Healthy\n2,Sick,Sick\n",
    "a column for each answer": b"id,healthy,sick\n1,1,0\n2,0,1\n",
    "files in other letters": b"file,label\nSUB\\ir_1.JPG,0\nir_2.jpg,1\n",
}


@pytest.mark.parametrize("content", ALIKE.values(), ids=ALIKE)
def test_what_is_certain_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    found = read_label_table(tmp_path / "labels.csv", ["1", "2"], {"IR_1.jpg": "1", "IR_2.jpg": "2"})
    assert found.rows == (("1", "Healthy"), ("2", "Sick"))
