"""What is no frame stays out of training, import, prediction and snapshots alike, and is named."""

import re
from pathlib import Path, PurePath
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from src.datasets.dmr_dataset import DMRDataset
from src.datasets.foreign import FOLDER, HIDDEN, MASKS, PREDICTIONS, SECOND_LENS, SYSTEM, foreign
from src.datasets.formats import scan
from src.datasets.frame_cache import read_frame
from src.datasets.snapshots import PHOTOGRAPHS, derive_snapshots, read_gray
from src.datasets.source import Skipped
from src.errors import UserError

Folder = Any  # tests/conftest.py: DMRFolder
FOREIGN = {
    "0001/@eaDir/T0001.jpg/SYNOPHOTO_THUMB_M.jpg": SYSTEM,
    "#recycle/0002/a.jpg": SYSTEM,
    "$RECYCLE.BIN/S-1-5/a.jpg": SYSTEM,
    "$Recycle.Bin/a.jpg": SYSTEM,
    "Recycle Bin/a.jpg": SYSTEM,
    "files_trashbin/0001/a.jpg.d1580000000": SYSTEM,
    "System Volume Information/a.jpg": SYSTEM,
    "__MACOSX/0001/a.jpg": SYSTEM,
    "0001/thumbnails/a.jpg": SYSTEM,
    "0001/a_thumb.jpg": SYSTEM,
    "0001/Thumbs.db": SYSTEM,
    "0001/~$labels.xlsx": SYSTEM,
    ".Trash-1000/files/0001/a.jpg": HIDDEN,
    "0001/._T0001.jpg": HIDDEN,
    "0001/.ipynb_checkpoints/a-checkpoint.jpg": HIDDEN,
    "0001/.AppleDouble/a.jpg": HIDDEN,
    "0001/DC_2413.jpg": SECOND_LENS,
    "0001/visible/a.jpg": SECOND_LENS,
    "0001/IR_0007_Visual.jpeg": SECOND_LENS,
}
OWN = ("0001/T0001.1.1.S.2012-10-01.00.jpg", "#12/a.jpg", "trashed/a.jpg", "0001/invisible.jpg", "0001/DC.jpg", "rgb/1")


@pytest.mark.parametrize("path", FOREIGN)
def test_a_foreign_path_is_told_by_its_name(path: str) -> None:
    found = foreign(PurePath(path), Path())
    assert found is not None
    assert found[0] == FOREIGN[path]
    assert PurePath(path).is_relative_to(found[1])


@pytest.mark.parametrize("path", OWN)
def test_a_name_that_only_looks_like_one_is_no_reason(path: str) -> None:
    assert foreign(PurePath(path), Path()) is None


def folder_of_a_nas(dmr: Folder) -> Path:
    """One frame with its heat map, and copies of it wherever systems keep some."""
    picture = dmr.frame("0001")
    dmr.frame("0001", snap=True)
    for path in FOREIGN:
        if path.lower().endswith((".jpg", ".jpeg")):
            copy = dmr.root / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(picture.read_bytes())
    (dmr.root / "0001" / "folder.jpg").mkdir()
    (dmr.root / "0001" / "masks").mkdir()
    (dmr.root / "0001" / "masks" / "T0001.1.1.S.2012-10-01.01.jpg").write_bytes(picture.read_bytes())
    earlier = dmr.root / "predictions"
    for name in ("prediction.json", "frames.csv", "pictures/T0001.1.1.S.2012-10-01.00.jpg", "overlays/T0001.png"):
        (earlier / name).parent.mkdir(parents=True, exist_ok=True)
        (earlier / name).write_bytes(picture.read_bytes())
    return picture


def test_the_frames_of_a_run_are_those_of_people(dmr: Folder) -> None:
    picture = folder_of_a_nas(dmr)
    source, skipped = DMRDataset(dmr.root), Skipped()
    assert [frame.path for frame in source.frames("gray", skipped)] == [picture.relative_to(dmr.root)]
    assert source.patients == ["0001"]
    assert "$RECYCLE.BIN" in skipped.reasons[SYSTEM]
    assert skipped.reasons[SYSTEM].count(str(PurePath("0001", "@eaDir"))) == 1
    assert len(skipped.reasons[SECOND_LENS]) == 3
    assert skipped.reasons[PREDICTIONS] == ["predictions"]
    assert skipped.reasons[MASKS] == ["0001/masks"]
    assert skipped.reasons[FOLDER] == [str(PurePath("0001", "folder.jpg"))]


def test_import_and_prediction_see_no_other_ones(dmr: Folder) -> None:
    folder_of_a_nas(dmr)
    left_out = Skipped()
    assert [file.path.name for file in scan(dmr.root, left_out)] == [
        "T0001.1.1.S.2012-10-01.00.jpg",
        "T0001.1.1.S.2012-10-01.00_snap.jpg",
    ]
    assert {"$RECYCLE.BIN", "0001/@eaDir", "__MACOSX"} <= set(left_out.reasons[SYSTEM])
    assert {"0001/._T0001.jpg", ".Trash-1000"} <= set(left_out.reasons[HIDDEN])
    assert left_out.reasons[PREDICTIONS] == ["predictions"]
    assert left_out.reasons[MASKS] == ["0001/masks"]
    assert left_out.reasons[FOLDER] == ["0001/folder.jpg"]


def test_no_snapshot_is_drawn_of_them(dmr: Folder) -> None:
    picture = folder_of_a_nas(dmr)
    picture.with_name(f"{picture.stem}_snap.jpg").unlink()
    counts = derive_snapshots(dmr.root)
    assert counts.made == 1
    assert {SYSTEM, HIDDEN, SECOND_LENS, FOLDER, PREDICTIONS, MASKS} <= set(counts.skipped.reasons)


def test_a_pale_picture_of_no_palette_is_a_photograph_and_a_vivid_one_a_heat_map(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:120, :160]
    levels = ((rows + columns) * 255 // 278).astype(np.uint8)
    room = np.stack([120 + levels // 3, 100 + levels // 5, 160 - levels // 4], axis=-1).astype(np.uint8)
    room[30:110, 50:110] = (205, 150, 125)  # a person
    of_a_camera = np.stack([levels, 255 - levels, np.where(levels < 128, 30, 240)], axis=-1).astype(np.uint8)
    jet = cv2.applyColorMap(levels, cv2.COLORMAP_JET)[..., ::-1]
    for name, pixels in {"room": room, "room_snap": room, "camera": of_a_camera, "jet": jet}.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.jpg")
    (tmp_path / "frames.zip").write_bytes(b"PK\3\4")
    left_out = Skipped()
    roles = {file.path.stem: file.role for file in scan(tmp_path, left_out)}
    assert roles == {"room_snap": "heat", "camera": "heat", "jet": "heat"}
    archives = {"archives, which must be unpacked first": ["frames.zip"]}
    assert left_out.reasons == {PHOTOGRAPHS: ["room.jpg"]} | archives
    with pytest.raises(ValueError, match=re.escape(PHOTOGRAPHS)):  # nor does training take one for a gray frame
        read_frame(tmp_path / "room.jpg", "gray", (60, 80))
    with pytest.raises(UserError, match=re.escape(PHOTOGRAPHS)):
        read_gray(tmp_path / "room.jpg")
