"""Imports of synthetic folders in the layouts seen in the wild: what the database's reader finds in them afterwards."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from import_source import Folder, H, W, made_from, read, rows, run
from numpy.testing import assert_allclose
from PIL import Image

from src.datasets.annotated_frames import match_frames
from src.datasets.annotations import read_annotations
from src.datasets.dmr_dataset import DMRDataset, description
from src.datasets.matrices import read_matrix
from src.datasets.source import HEALTHY, SICK, Skipped


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


FORMATS = [
    (" ", ".", "\r\r\n"),
    (";", ".", "\r\n"),
    (";", ",", "\n\n"),
    (" ", ",", "\n"),
    ("\t", ".", "\r"),
    (",", ".", "\n"),
]


@pytest.mark.parametrize("folder", ["", "a/b/", "visit {n}/data/"])
def test_matrices_with_a_table(source: Folder, out: Path, folder: str) -> None:
    values = {}
    for n, form in enumerate(FORMATS, start=1):
        values[n] = source.matrix(f"{folder.format(n=n)}T{n:04d}.txt", *form)
    source.text(
        "id_diagnosis.csv", "ID,Diagnosis\n" + "".join(f"{n},{'Sick' if n % 2 else 'Healthy'}\n" for n in values)
    )
    assert run(source, out) == 0
    diagnoses, gray, heat = read(out)
    assert diagnoses == {f"{n:04d}": SICK if n % 2 else HEALTHY for n in values}
    assert [frame.name for frame in gray] == [frame.name for frame in heat]
    for n, matrix in values.items():
        new = made_from(out, f"{folder.format(n=n)}T{n:04d}.txt")
        assert set(new) == {".txt", ".jpg", "_snap.jpg"}
        assert all(name.startswith(f"{n:04d}/T{n:04d}.1.0.S.0000-00-00.00") for name in new.values())
        assert_allclose(read_matrix(out / new[".txt"]), matrix, atol=1e-5)
        assert (out / new[".txt"]).read_bytes() == (source.root / f"{folder.format(n=n)}T{n:04d}.txt").read_bytes()
        expected = (matrix - matrix.min()) / (matrix.max() - matrix.min()) * 255  # over the frame's own range
        drawn = np.asarray(Image.open(out / new[".jpg"]), dtype=float)
        assert drawn.shape == (H, W, 3)
        assert np.abs(drawn - expected[..., None]).mean() < 3
        (row,) = [row for row in rows(out) if row["new"] == new[".jpg"]]
        assert (float(row["low"]), float(row["high"])) == (matrix.min(), matrix.max())


def test_a_window_is_the_same_for_all_frames(source: Folder, out: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = [source.matrix(f"T{n:04d}.txt") for n in (1, 2)]
    source.picture("T0003.jpg")
    assert run(source, out, "--window", "25", "30") == 0
    for n, matrix in enumerate(values, start=1):
        drawn = np.asarray(Image.open(next((out / f"000{n}").glob("*00.jpg"))).convert("L"), dtype=float)
        assert np.abs(drawn - np.clip((matrix - 25) / 5, 0, 1) * 255).mean() < 3
    assert {(row["low"], row["high"]) for row in rows(out)} == {("", ""), ("25", "30")}
    assert "no window can be applied: 1" in caplog.text
    assert "above the window: 2" in caplog.text


@pytest.mark.parametrize(
    ("healthy", "sick"),
    [("healthy", "sick"), ("a/NORMAL", "b/c/Abnormal"), ("Benign", "MALIGNANT"), ("Saudáveis", "DOENTES")],
)
def test_class_folders(source: Folder, out: Path, healthy: str, sick: str) -> None:
    word = Path(healthy).name.lower()
    names = [f"{healthy}/1_{word}_013_64.jpg", f"{healthy}/2_{word}_013_64.JPG", f"{sick}/deep/1_sick_425_58.jpeg"]
    content = {name: source.picture(name) for name in names}
    assert run(source, out) == 0
    diagnoses, gray, _ = read(out)
    assert diagnoses == {"0013": HEALTHY, "0425": SICK}
    assert [frame.patient for frame in gray] == ["0013", "0013", "0425"]
    for name in names:
        assert (out / made_from(out, name)[".jpg"]).read_bytes() == content[name]


def test_folders_of_patients_with_matrices_of_an_export(source: Folder, out: Path) -> None:
    for label, patient, number in (("SAUDAVEIS", 42, 11), ("DOENTES", 256, 62)):
        for n in range(3):
            source.matrix(f"{label}/{patient}/Matrizes/PAC_{number}_DN{n}.txt")
            source.picture(f"{label}/{patient}/Segmentadas/PAC_{number}_DN{n}-dir.jpg")
    assert run(source, out) == 0
    diagnoses, gray, _ = read(out)
    assert diagnoses == {"0042": HEALTHY, "0256": SICK}
    assert [frame.name for frame in gray] == [f"T{p:04d}.1.0.D.0000-00-00.{n:02d}" for p in (42, 256) for n in range(3)]


def test_numbers_of_an_export_are_not_those_of_a_table(source: Folder, out: Path, caplog: Any) -> None:
    source.matrix("PAC_64_DN0.txt")
    source.picture("TFRON_V159_18-2-2013_00.jpg")
    source.picture("TFRON_V159_18-2-2013_01.jpg")
    source.matrix("T0159.txt")
    source.text("labels.csv", "id,label\n64,Sick\n159,Healthy\n")
    assert run(source, out) == 0
    diagnoses, gray, _ = read(out)
    assert diagnoses == {"0159": HEALTHY}
    assert [(frame.patient, frame.view) for frame in gray] == [("0159", 0), ("0160", 0), ("0161", 1), ("0161", 1)]
    assert {(row["patient_in_source"], row["patient"]) for row in rows(out) if row["new"]} == {
        ("PAC64", "0160"),
        ("V159", "0161"),
        ("159", "0159"),
    }
    assert "numbered anew: PAC64 -> 0160, V159 -> 0161" in caplog.text


@pytest.mark.parametrize("folder", ["{p}/", "DMR/batch a/{p}/", "{p}/visit/", ""])
def test_the_databases_own_layout(source: Folder, out: Path, folder: str) -> None:
    content = {}
    for patient, word in (("0007", "Healthy"), ("0009", "Sick")):
        for view in (1, 2):
            stem = f"{folder.format(p=patient)}T{patient}.1.{view}.D.2012-10-08.00"
            content[f"{stem}.jpg"] = source.picture(f"{stem}.jpg")
        content[f"{stem}_snap.jpg"] = source.picture(f"{stem}_snap.jpg", colour=True)
        if folder:
            source.text(f"{folder.format(p=patient)}description.html", f"<p>Age: 61</p>{description(word)}")
    if not folder:
        source.text("labels.csv", "patient;diagnosis\n7;healthy\n9;sick\n")
    assert run(source, out) == 0
    diagnoses, gray, heat = read(out)
    assert diagnoses == {"0007": HEALTHY, "0009": SICK}
    assert [frame.view for frame in gray] == [1, 2, 1, 2]
    assert len(heat) == 4
    for name, picture in content.items():
        patient = Path(name).name[1:5]
        assert (out / patient / Path(name).name).read_bytes() == picture
        if folder:
            assert "Age: 61" in (out / patient / "description.html").read_text()


def test_annotations_follow_their_frames_and_keep_to_their_patient(source: Folder, out: Path, dmr: Any) -> None:
    source.picture("deep/0007/T0007.1.1.D.2012-10-08.00.jpg")
    for name in ("other/3_healthy_008_50", "patient 9/IR_1", "patient 10/IR_1", "patient 11/IR_2"):
        source.picture(f"{name}.jpg")
    square = [[4, 4, 16, 4, 16, 16, 4, 16]]
    names = {
        "x/T0007.1.1.D.2012-10-08.00.jpg": "0007",
        "3_healthy_008_50.jpg": "0008",
        "all\\patient 10\\IR_1.jpg": "0010",
        "patient 12/IR_2.jpg": None,
        "gone.jpg": None,
    }
    dmr.regions({name: [(1, square)] for name in names}, (H, W)).rename(source.root / "52_instances_default.json")
    source.text("notes.json", "{}")
    assert run(source, out) == 0
    reader, skipped = DMRDataset(out), Skipped()
    annotations = read_annotations(out / "52_instances_default.json", "ROI", Skipped())
    found = match_frames(reader.all_frames, annotations, skipped)
    assert {frame.patient for frame in found} == {"0007", "0008", "0010"}
    assert skipped.reasons == {"annotated images without a frame of that name": ["patient 12/IR_2.jpg", "gone.jpg"]}


def test_matrix_and_picture_of_one_frame_stay_together(source: Folder, out: Path, caplog: Any) -> None:
    gray, matrix = {}, {}
    for n in (7, 8):
        matrix[n] = source.matrix(f"a/T000{n}.1.1.D.2012-10-08.00.txt")
        source.seed -= 1
        gray[n] = source.picture(f"b/T000{n}.1.1.D.2012-10-08.00.jpg")
    matrix[13] = source.matrix("13/1.txt")
    # The luminance of a palette: warmer is not brighter.
    coloured = cv2.applyColorMap(np.uint8((matrix[13] - 20) * 15), cv2.COLORMAP_JET)
    Image.fromarray(coloured[..., ::-1]).convert("L").save(source.root / "13" / "1.txt.jpg")
    assert run(source, out) == 0
    assert len(read(out)[1]) == 3
    for n in (7, 8):
        stem = f"000{n}/T000{n}.1.1.D.2012-10-08.00"
        assert (out / f"{stem}.jpg").read_bytes() == gray[n]
        assert_allclose(read_matrix(out / f"{stem}.txt"), matrix[n], atol=1e-5)
    assert "do not follow their temperatures; --window draws them anew: 1" in caplog.text

    again = out.with_name("again")
    assert run(source, again, "--window", "20", "36") == 0
    for n, values in matrix.items():
        drawn = np.asarray(Image.open(next((again / f"{n:04d}").glob("*00.jpg"))).convert("L"), dtype=float)
        assert np.abs(drawn - np.clip((values - 20) / 16, 0, 1) * 255).mean() < 3
    notes = {row["note"] for row in rows(again) if row["original"] == "13/1.txt.jpg"}
    assert notes == {"the temperatures beside it were taken"}


def test_pictures_in_colour_are_heat_snapshots(source: Folder, out: Path) -> None:
    screenshot = source.picture("sick/patient 5/IR_1.jpg", colour=True)
    source.picture("sick/patient 6/IR_1.jpg", colour=True)
    source.matrix("sick/patient 6/IR_1.csv", ",")
    assert run(source, out) == 0
    assert [path.read_bytes() for path in (out / "0005").glob("*.jpg")] == [screenshot]
    assert next((out / "0005").glob("*.jpg")).stem.endswith("_snap")
    assert set(made_from(out, "sick/patient 6/IR_1.csv")) == {".jpg", ".txt", "_snap.jpg"}
    assert [row["note"] for row in rows(out) if row["original"] == "sick/patient 6/IR_1.jpg"] == [
        "pictures in colour beside their temperatures"
    ]


AMBIGUOUS = ["sick/198-1.txt.jpg", "sick/198-2.txt.jpg", "sick/IR_2015-04-17_0007.jpg"]


def test_files_that_tell_no_patient_stay_out_until_a_pattern_tells(source: Folder, out: Path, caplog: Any) -> None:
    for name in (*AMBIGUOUS, "sick/1_sick_153_60.jpg"):
        source.picture(name)
    assert run(source, out) == 0
    assert [frame.patient for frame in read(out)[1]] == ["0153"]
    assert "the name tells no patient; --patient-from REGEX decides: 3" in caplog.text
    assert {row["original"] for row in rows(out) if not row["new"]} == set(AMBIGUOUS)

    other = out.with_name("other")
    assert run(source, other, "--patient-from", r"sick/(?P<patient>\d+)-\d+$") == 0
    assert [(frame.patient, frame.name[-2:]) for frame in read(other)[1]] == [("0198", "00"), ("0198", "01")]
    each = out.with_name("each")
    assert run(source, each, "--patient-from", "(?P<patient>[^/]+)$") == 0
    diagnoses, gray, _ = read(each)
    assert len(diagnoses) == len(gray) == 4
    assert sum("2015-04-17" in frame.name for frame in gray) == 1


def test_labels_that_contradict_are_no_labels(source: Folder, out: Path, caplog: Any) -> None:
    for name in ("healthy/1_healthy_001_50", "sick/1_sick_001_50", "sick/2_sick_002_50", "sick/3_sick_003_50"):
        source.picture(f"{name}.jpg")
    source.picture("healthy/4_sick_004_50.jpg")
    source.text("labels.csv", "id,label\n1,Sick\n2,Healthy\n3,Sick\n9,Sick\n")
    assert run(source, out) == 0
    diagnoses, gray, _ = read(out)
    assert diagnoses == {"0003": SICK}
    assert len(gray) == 5
    said = caplog.text
    assert "CONTRADICTION, no label for patient 1: Healthy in folders, Sick in folders" in said
    assert "CONTRADICTION, no label for patient 2: Healthy in labels.csv, Sick in folders" in said
    assert "CONTRADICTION, no label for patient 4: Healthy in folders, Sick in file names" in said
    assert "labels.csv: 1 patient(s) without a frame: 9" in said
    assert "labels: 1 Sick (folders)\n" in said
    assert {row["patient"] for row in rows(out) if row["label"] == "contradicting"} == {"0001", "0002", "0004"}
    skipped = Skipped()
    DMRDataset(out).diagnoses(skipped)
    assert skipped.reasons == {"patients whose diagnosis is 'contradicting'": ["0001", "0002", "0004"]}


def test_benign_is_healthy_only_where_nobody_is_healthy(source: Folder, out: Path, caplog: Any) -> None:
    for name in ("benign/1_benign_001_50", "malignant/1_malignant_002_50", "normal/1_normal_003_50"):
        source.picture(f"{name}.jpg")
    assert run(source, out) == 0
    assert read(out)[0] == {"0002": SICK, "0003": HEALTHY}
    assert "benign counts as no label, since others are healthy" in caplog.text


def test_a_named_table_is_the_only_one(source: Folder, out: Path, tmp_path: Path) -> None:
    for n in (1, 2):
        source.matrix(f"T000{n}.txt")
    source.text("old.csv", "id,label\n1,Healthy\n2,Healthy\n")
    (tmp_path / "new.csv").write_text("1;Sick\n2;Healthy\n")
    assert run(source, out, "--labels", str(tmp_path / "new.csv")) == 0
    assert read(out)[0] == {"0001": SICK, "0002": HEALTHY}
    assert run(source, tmp_path / "third", "--labels", str(tmp_path / "absent.csv")) == 2


def test_copies_are_told_and_never_in_two_patients(source: Folder, out: Path, caplog: Any) -> None:
    for name in ("healthy/1_healthy_001_50", "healthy/2_healthy_002_50", "healthy/3_healthy_003_50"):
        source.picture(f"{name}.jpg")
    healthy = source.root / "healthy"
    (healthy / "9_healthy_001_50.jpg").write_bytes((healthy / "1_healthy_001_50.jpg").read_bytes())
    (healthy / "9_healthy_003_50.jpg").write_bytes((healthy / "2_healthy_002_50.jpg").read_bytes())
    matrix = source.matrix("T0007.txt")
    (source.root / "T0008.txt").write_bytes((source.root / "T0007.txt").read_bytes())
    (source.root / "T0009.txt").write_bytes((source.root / "T0007.txt").read_bytes()[:-8] + b"30.01\r\n")
    assert read_matrix(source.root / "T0009.txt").shape == matrix.shape
    assert run(source, out) == 0
    assert [frame.patient for frame in read(out)[1]] == ["0001", "0003", "0009"]
    assert "copies of another file: 1 (healthy/9_healthy_001_50.jpg)" in caplog.text
    assert "identical files of different patients: 4" in caplog.text
    notes = {row["original"]: row["note"] for row in rows(out) if not row["new"]}
    assert notes["T0008.txt"] == "identical files of different patients: T0007.txt"


def test_different_files_of_one_name_stay_out(source: Folder, out: Path) -> None:
    for folder in ("a", "b"):
        source.picture(f"{folder}/T0001.1.1.S.2012-10-08.00.jpg")
    source.picture("b/T0002.1.1.S.2012-10-08.00.jpg")
    assert run(source, out) == 0
    assert [frame.patient for frame in read(out)[1]] == ["0002"]


@pytest.mark.parametrize(
    ("layout", "patients"),
    [("auto", [1, 2, 3, 4]), ("matrices", [1, 4]), ("class-folders", [2, 4]), ("dmr", [3])],
)
def test_a_layout_takes_its_files_only(source: Folder, out: Path, layout: str, patients: list[int]) -> None:
    source.matrix("T0001.txt")
    source.picture("sick/1_sick_002_50.jpg")
    source.picture("T0003.1.1.S.2012-10-08.00.jpg")
    source.matrix("sick/T0004.txt")
    assert run(source, out, "--layout", layout) == 0
    assert [int(frame.patient) for frame in read(out)[1]] == patients
