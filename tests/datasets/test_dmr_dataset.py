"""The database's layout: what counts as a frame, whose it is, and what the description says."""

import os
import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from src.classes import Classes
from src.datasets.annotated_frames import match_frames
from src.datasets.annotations import AnnotatedImage, Annotations
from src.datasets.dmr_dataset import DMRDataset
from src.datasets.source import HEALTHY, SICK, Skipped
from src.errors import UserError

Folder = Any  # tests/conftest.py: DMRFolder


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("<p>Diagnosis*: <span>Healthy<br></span></p>", HEALTHY),
        ("<p>Diagnosis*: <span>Sick<br></span></p>", SICK),
        ("<p>Diagnosis: SICK</p>", SICK),
        ("<b>DIAGNOSIS *</b> :", None),
        ("diagnosis* : healthy", HEALTHY),
        ("Diagnosis*:\n\t<td class='x'>\n<b><span style=\"a: b\">\n  Sick \n</span></b>", SICK),
        ("Diagnosis*:&nbsp;<i></i>", None),
        ("Diagnosis*: <span>&nbsp;Healthy&nbsp;<br>", HEALTHY),
        ("<p>Age: 40</p><p>Diagnosis*: <span>Healthy</span></p><p>Family: Sick</p>", HEALTHY),
        ("Diagnosis*: <span>Unknown</span>", None),
        ("Diagnosis*: <span>Not sick</span>", None),
        ("no word of it", None),
        ("Diagnosis" + " " * 100_000 + "Sick", None),
        ("Diagnosis:" + "<Diagnosis:>" * 10_000 + "<", None),
        ("Diagnosis: <i><b <u>> Sick", None),
        ("<p>text</p>" * 200_000 + "Diagnosis: Sick", None),  # beyond what is read
        ("", None),
    ],
)
def test_diagnosis(dmr: Folder, text: str, label: int | None) -> None:
    dmr.frame("0001")
    dmr.description("0001", text)
    skipped = Skipped()
    found = DMRDataset(dmr.root).diagnoses(skipped)
    assert found == ({} if label is None else {"0001": label})
    assert list(skipped.reasons.values()) == ([["0001"]] if label is None else [])


def test_reasons_tell_other_words_from_none_and_from_no_file(dmr: Folder) -> None:
    for patient, text in (("0001", "Diagnosis*: <span>Benign"), ("0002", "nothing"), ("0003", None)):
        dmr.frame(patient)
        if text is not None:
            dmr.description(patient, text)
    skipped = Skipped()
    assert DMRDataset(dmr.root).diagnoses(skipped) == {}
    assert skipped.reasons == {
        "patients whose diagnosis is 'benign'": ["0001"],
        "patients whose description has no diagnosis": ["0002"],
        "patients without a readable description.html": ["0003"],
    }


def test_description_in_another_encoding_is_read(dmr: Folder) -> None:
    dmr.frame("0001")
    path = dmr.description("0001", "")
    path.write_bytes("<p>Mamão: não</p><p>Diagnosis*: <span>Sick</span>".encode("latin-1"))
    assert DMRDataset(dmr.root).diagnoses(Skipped()) == {"0001": SICK}


def test_several_visits_are_one_patient(dmr: Folder) -> None:
    for visit in (1, 2):
        for view in (1, 2):
            dmr.frame("0001", visit, view)
            dmr.frame("0001", visit, view, snap=True)
    dmr.frame("0002")
    source = DMRDataset(dmr.root)
    assert source.patients == ["0001", "0002"]
    gray, heat = source.frames("gray", Skipped()), source.frames("heat", Skipped())
    assert [frame.patient for frame in gray] == ["0001"] * 4 + ["0002"]
    assert [frame.view for frame in gray] == [1, 2, 1, 2, 1]
    assert [frame.name for frame in heat] == [frame.name for frame in gray[:4]]
    assert len({frame.name for frame in gray}) == 5


@pytest.mark.parametrize(
    ("name", "view", "day"),
    [
        ("T0001.1.1.D.2012-10-08.00.jpg", 1, date(2012, 10, 8)),
        ("T0001.2.4.S.2019-07-24.12_snap.jpg", 4, date(2019, 7, 24)),
        ("T0001.1.1.D.2013-02-31.00.jpg", 1, None),
        ("T0001.1.0.S.0000-00-00.00.jpg", 0, None),
        ("T0001.1.2.D.no-date.00.jpg", 2, None),
        ("IMG_2012-10-08.jpg", None, None),
    ],
)
def test_view_and_day_are_in_the_name(dmr: Folder, name: str, view: int | None, day: date | None) -> None:
    dmr.frame("0001").rename(dmr.root / "0001" / name)
    (frame,) = DMRDataset(dmr.root).frames("heat" if "_snap" in name else "gray", Skipped())
    assert (frame.view, frame.day) == (view, day)


def test_patient_without_a_snapshot_is_noted(dmr: Folder) -> None:
    dmr.patient("0001", "Sick")
    dmr.patient("0002", "Sick", snap=False)
    skipped = Skipped()
    assert [frame.patient for frame in DMRDataset(dmr.root).frames("heat", skipped)] == ["0001"]
    assert skipped.reasons == {
        "patients without a heat frame": ["0002"],
        "gray frames without a heat snapshot": ["0002/T0002.1.1.S.2012-10-01.00.jpg"],
    }


def test_a_missing_snapshot_of_a_patient_with_another_is_noted(dmr: Folder) -> None:
    dmr.patient("0001", "Sick")
    second = dmr.frame("0001", visit=2)
    skipped = Skipped()
    DMRDataset(dmr.root).frames("heat", skipped)
    assert skipped.reasons == {"gray frames without a heat snapshot": [f"0001/{second.name}"]}
    gray = Skipped()
    DMRDataset(dmr.root).frames("gray", gray)
    assert gray.reasons == {}


def test_snapshots_are_told_by_their_name_in_either_case(dmr: Folder) -> None:
    gray, heat = dmr.frame("0001"), dmr.frame("0001", snap=True)
    heat.rename(heat.with_name(f"{gray.stem}_SNAP.JPG"))
    frames = DMRDataset(dmr.root).all_frames
    assert [[frame.name for frame in frames[modality]] for modality in ("gray", "heat")] == [[gray.stem]] * 2


def test_what_counts_as_a_frame(dmr: Folder) -> None:
    good = dmr.frame("0001")
    for name in ("UPPER.JPG", "other.jpeg", "visit 2/deep.jpg", ".hidden.jpg", "matrix.txt", "drawing.png"):
        path = dmr.root / "0001" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(good.read_bytes())
    (dmr.root / "loose.jpg").write_bytes(good.read_bytes())
    frames = DMRDataset(dmr.root).frames("gray", Skipped())
    assert {frame.name for frame in frames} == {good.stem, "UPPER", "other", "deep"}
    assert {frame.patient for frame in frames} == {"0001"}
    assert [frame.path for frame in frames] == sorted(frame.path for frame in frames)
    assert {frame.view for frame in frames if frame.name != good.stem} == {None}


def test_missing_snapshots_name_the_command(dmr: Folder) -> None:
    dmr.patient("0001", "Sick", snap=False)
    with pytest.raises(UserError, match=r"python -m src\.datasets\.prepare snaps ") as caught:
        DMRDataset(dmr.root).frames("heat", Skipped())
    text = str(caught.value)
    assert text.endswith(str(dmr.root))
    assert "<patient>/*_snap.jpg" in text
    assert "\n" not in text


@pytest.mark.parametrize(("modality", "words"), [("gray", r"<patient>/\*\.jpg"), ("heat", r"<patient>/\*_snap\.jpg")])
def test_nothing_there_names_what_was_looked_for(dmr: Folder, modality: Any, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        DMRDataset(dmr.root).frames(modality, Skipped())
    assert str(dmr.root) in str(caught.value)
    assert "data/README.md" in str(caught.value)


def test_snapshots_alone_do_not_make_gray_frames(dmr: Folder) -> None:
    dmr.frame("0001", snap=True)
    with pytest.raises(UserError, match="no gray frames"):
        DMRDataset(dmr.root).frames("gray", Skipped())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_a_description(dmr: Folder, encoding: str) -> None:
    dmr.frame("0001")
    dmr.description("0001", "").write_bytes("<p>M\u00e3e</p>Diagnosis*: <span>Sick<br>".encode(encoding))
    assert DMRDataset(dmr.root).diagnoses(Skipped()) == {"0001": SICK}


def test_links_are_left_out_with_a_reason(dmr: Folder, tmp_path: Path) -> None:
    outside = type(dmr)(tmp_path / "outside")
    outside.patient("0002", "Sick")
    kept = dmr.frame("0001")
    for name in ("link.jpg", "link_snap.jpg"):
        (dmr.root / "0001" / name).symlink_to(outside.root / "0002" / "T0002.1.1.S.2012-10-01.00.jpg")
    (dmr.root / "0001" / "description.html").symlink_to(outside.root / "0002" / "description.html")
    (dmr.root / "0002").symlink_to(outside.root / "0002")
    (dmr.root / "0003").symlink_to(dmr.root)
    skipped = Skipped()
    reader = DMRDataset(dmr.root)
    assert [dmr.root / frame.path for frame in reader.frames("gray", skipped)] == [kept]
    assert reader.patients == ["0001"]
    assert reader.diagnoses(skipped) == {}
    assert len(skipped.reasons["links, which are not followed"]) >= 5
    assert skipped.reasons["patients whose description.html is a link, which is not followed"] == ["0001"]


def test_a_folder_of_links_alone_says_so(dmr: Folder, tmp_path: Path) -> None:
    outside = type(dmr)(tmp_path / "outside").frame("0001")
    (dmr.root / "0001").symlink_to(outside.parent)
    with pytest.raises(UserError, match="links, which are not followed: 1"):
        DMRDataset(dmr.root).frames("gray", Skipped())


def test_a_root_that_is_a_link_is_the_persons_own(dmr: Folder, tmp_path: Path) -> None:
    dmr.frame("0001")
    (tmp_path / "data").symlink_to(dmr.root)
    assert len(DMRDataset(tmp_path / "data").frames("gray", Skipped())) == 1


@pytest.mark.parametrize("name", [b"a\nb.jpg", b"m\xe3e.jpg", b"a\x1b[2J.jpg"])
def test_names_that_no_log_or_table_can_hold_are_left_out(dmr: Folder, name: bytes) -> None:
    kept = dmr.frame("0001")
    (kept.parent / os.fsdecode(name)).write_bytes(kept.read_bytes())
    skipped = Skipped()
    assert len(DMRDataset(dmr.root).frames("gray", skipped)) == 1
    assert "frames whose name holds control characters or is no valid text" in skipped.reasons


def test_a_pipe_in_place_of_a_description_does_not_block(dmr: Folder) -> None:
    dmr.frame("0001")
    os.mkfifo(dmr.root / "0001" / "description.html")
    skipped = Skipped()
    assert DMRDataset(dmr.root).diagnoses(skipped) == {}
    assert "patients without a readable description.html" in skipped.reasons


def test_names_that_look_the_same_are_the_same(dmr: Folder) -> None:
    wide, narrow = (unicodedata.normalize(form, "José") for form in ("NFD", "NFC"))
    picture = dmr.frame("0001")
    for folder, name in ((wide, f"{narrow}1"), (narrow, f"{wide}2")):
        for ending in (".jpg", "_snap.jpg"):
            path = dmr.root / folder / f"{name}{ending}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(picture.read_bytes())
        dmr.description(folder, "Diagnosis: Sick")
    source, skipped = DMRDataset(dmr.root, [wide, "0001"]), Skipped()
    assert source.patients == ["0001", narrow]
    assert {frame.name for frame in source.frames("heat", skipped)} == {f"{narrow}1", f"{narrow}2"}
    assert source.diagnoses(skipped) == {narrow: SICK}
    dmr.description(wide, "Diagnosis: Healthy")
    assert source.diagnoses(skipped) == {}
    assert skipped.reasons["patients whose folders' descriptions differ"] == [narrow]
    annotated = Annotations(Classes(("region", "ROI"), 1), (AnnotatedImage(f"{wide}/{wide}1.jpg", 4, 4, [(0, [])]),))
    assert len(match_frames(source.all_frames, annotated, skipped)) == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_a_description_is_read_in_any_encoding(dmr: Folder, encoding: str) -> None:
    dmr.frame("0001")
    (dmr.root / "0001" / "description.html").write_bytes("<p>é Diagnosis*: <b>Malignant</b></p>".encode(encoding))
    assert DMRDataset(dmr.root).diagnoses(Skipped()) == {"0001": SICK}
