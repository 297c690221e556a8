"""Imports that meet damage, links, odd names, full folders and interruptions: nothing is lost, guessed or half done."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_source import Folder, command, degrees, read, rows, run, tree

from src.importing import frames as import_frames


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def test_nothing_to_import_is_an_error_with_reasons(source: Folder, out: Path, capsys: Any) -> None:
    source.picture("IR_2412.jpg")
    source.text("readme.txt", "hello")
    assert run(source, out) == 2
    error = capsys.readouterr().err
    assert "no frame can be imported" in error
    assert "IR_2412.jpg" in error
    assert "--patient-from '(?P<patient>[^/]+)$' makes each file a patient" in error
    assert not out.exists()


def test_damaged_files_are_told_and_the_rest_is_made(source: Folder, out: Path, caplog: Any) -> None:
    for n in range(1, 6):
        source.matrix(f"T000{n}.txt")
    source.picture("T0003.jpg")
    source.picture("T0006.jpg")
    for name, end in (("T0002.txt", b" spam\n"), ("T0003.txt", b"1 2\n")):
        (source.root / name).write_bytes((source.root / name).read_bytes() + end)
    (source.root / "T0006.jpg").write_bytes((source.root / "T0006.jpg").read_bytes()[:-400])
    np.savetxt(source.root / "T0005.txt", degrees(5) + 273.15, fmt="%.2f")
    assert run(source, out) == 0
    assert [frame.patient for frame in read(out)[1]] == ["0001", "0003", "0004", "0005"]
    assert not list((out / "0003").glob("*.txt"))
    said = caplog.text
    assert "frames that could not be made: the matrix holds something that is not a number, or empty fields: 1" in said
    assert "frames that keep their picture alone: the matrix has rows of different length: 1" in said
    assert "median is not between 10 and 45 C: taken for Kelvin and turned to degrees Celsius: 1" in said
    assert "left out, truncated frames: 1 (T0006.jpg)" in said
    assert {row["original"] for row in rows(out)} >= {"T0002.txt", "T0006.jpg"}


def test_only_out_is_written_and_links_are_not_followed(source: Folder, tmp_path: Path, caplog: Any) -> None:
    outside = Folder(tmp_path / "outside")
    outside.picture("1_sick_002_50.jpg")
    outside.matrix("deep/T0009.txt")
    source.matrix("T0001.txt")
    (source.root / "1_sick_002_50.jpg").symlink_to(outside.root / "1_sick_002_50.jpg")
    (source.root / "folder").symlink_to(outside.root)
    (source.root / "loop").symlink_to(source.root)
    (source.root / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(source.root / "pipe.jpg")
    source.picture(".hidden/1_sick_003_50.jpg")
    dmr = {"images": [{"id": 1, "file_name": "../../../escape.jpg"}, {"id": 2, "file_name": "/etc/T0001.jpg"}]}
    source.text("coco.json", json.dumps({**dmr, "annotations": [], "categories": []}))
    source.text("labels.csv", "id,label\n../../evil,Sick\n/etc/passwd,Sick\n1,Sick\n")
    before = (
        tree(tmp_path / "outside"),
        {name: value for name, value in tree(source.root).items() if name != "pipe.jpg"},
    )
    assert run(source, tmp_path / "out") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "outside", "source"]
    assert before == (tree(tmp_path / "outside"), {n: v for n, v in tree(source.root).items() if n != "pipe.jpg"})
    assert [frame.patient for frame in read(tmp_path / "out")[1]] == ["0001"]
    assert "links, which are not followed: 4" in caplog.text
    assert "not a plain file: 1 (pipe.jpg)" in caplog.text


def test_patients_with_names_like_paths_get_numbers(source: Folder, out: Path) -> None:
    source.picture("a..b/x.jpg")
    source.picture("c/x.jpg")
    assert run(source, out, "--patient-from", r"^(?P<patient>.*/)") == 0
    assert {path.name for path in out.iterdir()} == {"0001", "0002", "import.csv", "import.json"}


def test_a_dry_run_writes_nothing(source: Folder, out: Path, caplog: Any) -> None:
    source.matrix("T0001.txt")
    source.text("labels.csv", "id,label\n1,Sick\n")
    assert run(source, out, "--dry-run") == 0
    assert not out.exists()
    said = caplog.text
    for words in (
        "frames: 1 (1 from temperatures)",
        "such as T0001.txt -> 0001/T0001.1.0.S.0000-00-00.00",
        "patients: 1",
        "1 Sick (labels.csv)",
        "told by T<patient>: 1",
        "dry run",
    ):
        assert words in said


def test_one_number_of_two_people_is_told_before_anything_is_written(source: Folder, out: Path, caplog: Any) -> None:
    source.matrix("T0001.txt")
    source.picture("healthy/1_healthy_001_50.jpg")
    source.picture("sick/2/frame.jpg")
    assert run(source, out, "--dry-run") == 0
    assert "told by several rules and taken for one: 1\n" in caplog.text
    assert "CONTRADICTION" not in caplog.text
    source.picture("healthy/2/frame.jpg")
    assert run(source, out, "--dry-run") == 0
    assert r"if these are different people: --patient-from '(?P<patient>\w+/\d+)/'" in caplog.text
    assert not out.exists()


def test_where_out_may_be(source: Folder, tmp_path: Path, capsys: Any, caplog: Any) -> None:
    source.matrix("deep/T0001.txt")
    for out in (source.root, source.root / "deep" / "new", tmp_path):
        assert run(source, out) == 2
        assert "may neither lie in the source" in capsys.readouterr().err
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    assert run(source, full) == 2
    assert "holds something other" in capsys.readouterr().err
    out = tmp_path / "out"
    assert run(source, out) == 0
    before = tree(out)
    assert run(source, out) == 0
    assert "holds this import already" in caplog.text
    assert run(source, out, "--window", "20", "30") == 2
    source.matrix("deep/T0002.txt")
    assert run(source, out) == 2
    assert tree(out) == before


def test_an_interrupted_import_leaves_no_half_file_and_is_finished(
    source: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(1, 5):
        source.matrix(f"T000{n}.txt")
    assert run(source, tmp_path / "whole") == 0
    real, calls = import_frames.encode_jpeg, []

    def failing(image: np.ndarray) -> bytes:
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return real(image)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(import_frames, "encode_jpeg", failing)
        assert run(source, out) == 130
    assert not (out / "import.json").exists()
    whole = tree(tmp_path / "whole")
    for path in (path for path in out.glob("*/*") if path.is_file()):
        assert path.read_bytes() == whole[str(path.relative_to(out))][1]
    (out / "0001").mkdir(exist_ok=True)
    (out / "0001" / ".T0001.jpg.1.partial").write_bytes(b"of a process that was killed")
    assert run(source, out) == 0
    assert {name: content for name, (_, content) in tree(out).items()} == {n: c for n, (_, c) in whole.items()}


def test_a_circle_of_links_is_one_line(source: Folder, tmp_path: Path, capsys: Any) -> None:
    source.matrix("T0001.txt")
    (tmp_path / "loop").symlink_to("loop")
    for places in ((tmp_path / "loop", tmp_path / "out"), (source.root, tmp_path / "loop" / "out")):
        assert command("import", *map(str, places)) == 2
        assert capsys.readouterr().err.endswith(": links that lead in a circle\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--window", "30", "20"], "the lower temperature comes first"),
        (["--window", "nan", "20"], "the lower temperature comes first"),
        (["--palette", "sepia"], "unknown palette"),
        (["--patient-from", "("], "no regular expression"),
        (["--patient-from", "(x)"], "has no group"),
        (["--labels", "absent.csv"], "cannot be read"),
    ],
)
def test_bad_options_are_one_line(source: Folder, out: Path, options: list[str], words: str, capsys: Any) -> None:
    source.matrix("T0001.txt")
    assert run(source, out, *options) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not out.exists()
