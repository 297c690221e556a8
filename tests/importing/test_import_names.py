"""What paths and tables tell: patients only where one rule is certain, labels in the spellings that occur."""

import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.datasets.labels import label_of, patient_number, read_label_table
from src.datasets.layouts import folder_labels, frame_stem, read_clues
from src.errors import UserError
from src.importing.plan import _four_digits

OWN_NUMBERS = {str(number) for number in range(10_000)}


@pytest.mark.parametrize(
    ("path", "patient", "rest"),
    [
        ("T0012.1.3.D.2012-10-08.07.jpg", "12", ("1.3.D.2012-10-08.07", 0, "S", "2012-10-08", None)),
        ("0012/t0012.1.1.s.2012-10-08.00_snap.JPG", "12", ("1.1.S.2012-10-08.00", 0, "S", "2012-10-08", None)),
        ("T0012.txt", "12", (None, 0, "S", "0000-00-00", None)),
        ("healthy/100_healthy_153_67.jpg", "153", (None, 0, "S", "0000-00-00", None)),
        ("SICK/0153/7_sick_153_67.jpg", "153", (None, 0, "S", "0000-00-00", None)),
        ("patient 12/IR_2015-04-17_0007.jpg", "12", (None, 0, "S", "2015-04-17", None)),
        ("Patient_012_left.jpg", "12", (None, 0, "S", "0000-00-00", None)),
        ("PAC_64_DN3.txt", "PAC64", (None, 0, "D", "0000-00-00", 3)),
        ("TFRON_V159_18-2-2013_00.jpg", "V159", (None, 1, "S", "2013-02-18", 0)),
        ("TFRON_V159_2-18-2013_00.jpg", "V159", (None, 1, "S", "0000-00-00", 0)),  # there is no 18th month
        ("DOENTES/256/Matrizes/PAC_62_DN0.txt", "256", (None, 0, "D", "0000-00-00", 0)),
        ("2013/12/frame.jpg", "12", (None, 0, "S", "0000-00-00", None)),  # 2013 is a year
    ],
)
def test_patients_that_a_path_tells(path: str, patient: str, rest: tuple[object, ...]) -> None:
    clues = read_clues(PurePosixPath(path))
    assert clues.patient == patient
    assert (clues.tail, clues.view, clues.kind, clues.date, clues.frame) == rest


@pytest.mark.parametrize(
    "path",
    [
        "198-1.txt.jpg",
        "IR_2015-04-17_0007.jpg",
        "IR_2412.jpg",
        "T12.txt",
        "7_left_153_67.jpg",
        "2013/frame.jpg",
        "1/2/frame.jpg",
        "0013/T0012.1.1.S.2012-10-08.00.jpg",
        "13/T0012.txt",
    ],
)
def test_patients_that_a_path_does_not_tell(path: str) -> None:
    clues = read_clues(PurePosixPath(path))
    assert clues.patient == ""
    assert "--patient-from" in clues.rule


@given(path=st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), min_size=1, max_size=3))
def test_any_path_can_be_read(path: list[str]) -> None:
    assert read_clues(PurePosixPath(*path)).rule


def test_files_of_one_frame_have_one_stem() -> None:
    for name in ("198-1.txt", "198-1.jpg", "198-1.txt.jpg", "198-1_snap.jpg", "198-1_SNAP.JPG", "198-1.csv"):
        assert frame_stem(PurePosixPath("folder", name)) == "198-1"
    for number in ("1.2.840.113619", "1.2.840.113620"):  # of DICOM files, which differ in the last part
        assert frame_stem(PurePosixPath("folder", number)) == number


@given(
    number=st.integers(1, 10**6), frame=st.integers(0, 99), folders=st.lists(st.sampled_from(["Sick", "a b", "2015"]))
)
def test_database_names_tell_their_patient_in_any_folder(number: int, frame: int, folders: list[str]) -> None:
    tail = f"1.2.D.2012-10-08.{frame:02d}"
    for own in ([], [f"{number:04d}"]):
        clues = read_clues(PurePosixPath(*folders, *own, f"T{number:04d}.{tail}.jpg"))
        assert (clues.patient, clues.tail) == (str(number), tail)


@given(patients=st.sets(st.one_of(st.integers(0, 12000).map(str), st.text(min_size=1)), max_size=30))
def test_folders_have_four_digits_and_one_patient_each(patients: set[str]) -> None:
    folders = _four_digits(patients)
    assert folders.keys() == patients
    assert len(set(folders.values())) == len(patients)
    assert all(len(folder) == 4 and folder.isdecimal() for folder in folders.values())
    assert all(int(folders[number]) == int(number) for number in OWN_NUMBERS & patients)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("healthy", "Healthy"),
        ("NORMAL", "Healthy"),
        ("Saudáveis", "Healthy"),
        ("01_Healthy patients", "Healthy"),
        ("non-cancer", "Healthy"),
        ("Sick", "Sick"),
        ("abnormal", "Sick"),
        ("Malignant cases", "Sick"),
        ("DOENTES", "Sick"),
        ("not healthy", "Sick"),
        ("Benign", "Benign"),
        ("unknown", None),
        ("healthy and sick", None),
        ("cancer?", None),
        ("B\u00f6sartig", "Sick"),
        ("normal window", None),
        ("0", None),
        ("", None),
    ],
)
def test_words_for_labels(text: str, label: str | None) -> None:
    assert label_of(text) == label
    assert folder_labels(PurePosixPath("data", text or "x", "frame.jpg")) == ({label} - {None})


@pytest.mark.parametrize(
    ("cell", "patient"),
    [
        ("12", "12"),
        ("0012", "12"),
        ("T0012", "12"),
        ("12.0", "12"),
        ("12,00", "12"),
        ("12.5", None),
        ("PAC_012", "PAC12"),
        ("V12", "V12"),
        ("1-2", None),
    ],
)
def test_cells_that_name_patients(cell: str, patient: str | None) -> None:
    assert patient_number(cell) == patient


TABLES = {
    "as published": "ID,Diagnosis\n1,Healthy\n13,Sick\n",
    "no header": "1,Healthy\n13,Sick\n",
    "semicolons": "age;Paciente;Diagnóstico\r\n45;0001;Saudável\r\n67;0013;Doente\r\n",
    "tabs and blank lines": "patient\tdate\tclass\n\n1\t2012-10-08\tnormal\n\n13\t2013-01-02\tABNORMAL\n",
    "columns without known names": "who,when,what\nT0001,3,benign\nT0013,13,malignant\n",
    "decimal numbers, quotes": '"n","patient_id","result"\n"7","1.0","negative"\n"8","13.0","positive"\n',
    "a title above": "Patients of 2020\n\nID,Diagnosis\n1,Healthy\n13,Sick\n",
    "a title above, in a cell": "Study A;;\nID;Age;Diagnosis\n1;45;Healthy\n13;67;Sick\n",
    "numbers of a German Excel": "Patient;Befund\n1,0;gesund\n13,00;krank\n",
    "texts of Excel": 'Patient;Diagnose\n="0001";benigno\n="0013";maligno\n',
    "patient before id": "id,patient,label\n13,1,healthy\n1,13,sick\n",
}


ANSWERS = {
    "0 and 1": "ID,Diagnosis\n1,0\n13,1\n",
    "0.0 and 1.0": "ID,target\n1,0.0\n13,1.0\n",
    "yes and no": "patient,Cancer\n1,No\n13,YES\n20,unknown\n",
    "true and false": "patient,is_sick\n1,FALSE\n13,True\n",
    "true and false of a Portuguese Excel": "Pacientes de 2020;\npaciente;Tem cancer?\n1;FALSO\n13;VERDADEIRO\n",
    "yes and no in German": "Patient;Krebs\n1;nein\n13;ja\n20;?\n",
    "the other way round": "patient,healthy\n1,yes\n13,no\n",
    "signs": "patient;result\n1;-\n13;+\n",
    "Excel's own first line": "sep=;\r\npatient;Status\r\n1;negative\r\n13;POSITIVE\r\n",
    "spaces that are none": "\ufeffpatient,label\n\u00a01,\u200bHealthy\n13,Sick\u00a0\n",
    "malignant and benign": "patient,label\n1,Benign\n13,Malignant\n",
    "by file": "image,label\nIR_1.jpg,normal\nIR_13.jpg,abnormal\n",
    "by path": "n,path,target\n7,data\\IR_1.jpg,0\n8,data\\IR_13.jpg,1\n",
    "by file without suffix": "Dateiname\tlabel\nIR_1\t0\nIR_13\t1\n",
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_answers_below_a_header_that_asks_are_labels(name: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(ANSWERS[name].encode(encoding))
    files = {"IR_1.jpg": "1", "IR_13.jpg": "13", "IR_1": "1", "IR_13": "13"}
    table = read_label_table(tmp_path / "labels.csv", {"1", "13", "20"}, files)
    found = {who: label for who, label in table.rows if label}
    assert found == {"1": "Benign" if "Benign" in ANSWERS[name] else "Healthy", "13": "Sick"}
    assert ("counts as Sick" in table.meaning) == (label_of(ANSWERS[name].split()[-1].split(",")[-1]) is None)


def spreadsheet(path: Path, *sheets: list[list[Any]]) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    book.save(path)


def test_a_spreadsheet_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    rows = [["Patients of 2020"], ["patient", None, "label"], [1, "x", 0], [], ["0013", None, 1]]
    for name in ("labels.xlsx", "labels.csv"):
        spreadsheet(tmp_path / name, rows, [])
        assert dict(read_label_table(tmp_path / name, {"1", "13"}).rows) == {"1": "Healthy", "13": "Sick"}
    spreadsheet(tmp_path / "two.xlsx", rows, [["notes"]])
    spreadsheet(tmp_path / "sums.xlsx", [["patient", "label"], [1, '=IF(2>1,"Sick","Healthy")']])
    with pytest.raises(UserError, match=r"sums.xlsx: formulas without their results"):
        read_label_table(tmp_path / "sums.xlsx", {"1"})
    lines = [[1, "=IF(2>1,1,0)", '=IF(2>1,"","x")'], [2, 0]]
    spreadsheet(tmp_path / "some.xlsx", [["patient", "label", "note"], *lines])
    saved = tmp_path / "saved.xlsx"  # as a program that computes leaves it: an empty text is no result
    with zipfile.ZipFile(tmp_path / "some.xlsx") as before, zipfile.ZipFile(saved, "w") as after:
        for name in before.namelist():
            after.writestr(name, before.read(name).replace(b"1,0)</f><v />", b"1,0)</f><v>1</v>"))
    assert dict(read_label_table(saved, {"1", "2"}).rows) == {"1": "Sick", "2": "Healthy"}
    with pytest.raises(UserError, match=r"two.xlsx: several sheets .*\(sheet 0, sheet 1\); save the sheet as CSV"):
        read_label_table(tmp_path / "two.xlsx", {"1"})


@pytest.mark.parametrize("content", [b"PK\x03\x04 damaged", b"\xd0\xcf\x11\xe0 of 1997"])
@pytest.mark.parametrize("installed", [True, False])
def test_a_spreadsheet_that_cannot_be_read_is_to_be_saved_as_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, installed: bool
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "labels.xlsx").write_bytes(content)
    with pytest.raises(UserError, match=r"labels\.xlsx: .*save the sheet as CSV"):
        read_label_table(tmp_path / "labels.xlsx", {"1"})


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_tables_of_labels(name: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(TABLES[name].encode(encoding))
    rows = read_label_table(tmp_path / "labels.csv", {"1", "13", "20"}).rows
    assert dict(rows) == {"1": "Benign" if "benign" in TABLES[name] else "Healthy", "13": "Sick"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no table of labels"),
        ("only\none\n", "no table of labels"),
        ("id,group\n1,0\n13,1\n", "no column holds labels"),
        ("id,label\n1,1\n13,2\n", "no column holds labels"),
        ("id,label\n1,1\n13,1\n", "no column holds labels"),
        ("1,0\n13,1\n", "no column holds labels"),
        ("id,benign\n1,yes\n13,no\n", "no column holds labels"),
        ("id,label\n77,Healthy\n78,Sick\n", "no column holds patients"),
        ("id,diagnosis,class\n1,Healthy,Sick\n", "several columns could hold labels .*: diagnosis, class"),
        ("id,number,label\n1,13,Healthy\n", "several columns could hold patients: id, number"),
    ],
)
def test_tables_that_are_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        read_label_table(tmp_path / "labels.csv", {"1", "13"})


def test_values_that_are_no_label_are_told(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id,label\n1,Healthy\n2,Unknown\n3,\n")
    table = read_label_table(tmp_path / "labels.csv", {"1", "2", "3"})
    assert dict(table.rows) == {"1": "Healthy", "2": None, "3": None}
    assert table.unknown == ("Unknown", "")
    assert table.columns == ("id", "label")
