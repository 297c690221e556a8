"""Whatever a data folder holds: a result, a skip with its reason, or one line for the person."""

import importlib.util
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from flir_files import radiometric_jpeg
from fuzzing import attempt, damaged, damaged_json, fuzzed
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from src.audit.traits import read_traits
from src.datasets.annotated_frames import match_frames
from src.datasets.annotations import read_annotations
from src.datasets.dmr_dataset import DMRDataset, read_diagnosis
from src.datasets.duplicates import find_duplicates
from src.datasets.frame_cache import read_frame
from src.datasets.images import FORMATS, read_image
from src.datasets.labels import read_label_table
from src.datasets.letterbox import letterbox
from src.datasets.matrices import looks_like_matrix, read_matrix
from src.datasets.radiometric import read_radiometric
from src.datasets.region_targets import soft_target
from src.datasets.source import Frame, Skipped
from src.importing.folder import ImportOptions, import_folder
from src.prediction.inputs import as_frame, find_frames, read_thermogram

SIZE = (24, 32)
NAME = "T0001.1.1.S.2012-10-01.00"
GRAY = np.random.default_rng(0).integers(0, 255, SIZE, np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 255, (*SIZE, 3), np.uint8)
CELSIUS = np.random.default_rng(2).uniform(22, 36, SIZE)


def turned_by(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def encoded(pixels: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    pixels.save(file, kind, **options)
    return file.getvalue()


PICTURES = [
    *(encoded(Image.fromarray(pixels), kind) for kind in FORMATS for pixels in (GRAY, COLOURS)),
    encoded(Image.fromarray(COLOURS), "JPEG", progressive=True),
    encoded(Image.fromarray(COLOURS).convert("CMYK"), "JPEG"),
    encoded(Image.fromarray(COLOURS).convert("RGBA"), "PNG"),
    encoded(Image.fromarray(COLOURS).convert("P"), "PNG"),
    encoded(Image.fromarray(GRAY.astype(np.uint16) * 200), "PNG"),
    encoded(Image.fromarray(GRAY).convert("1"), "TIFF", compression="group4"),
    encoded(Image.fromarray(COLOURS), "TIFF", compression="tiff_lzw"),
    encoded(Image.fromarray(CELSIUS.astype(np.float32)), "TIFF", compression="tiff_adobe_deflate"),
    encoded(Image.fromarray(COLOURS).convert("LAB"), "TIFF"),
    encoded(Image.fromarray(GRAY).convert("LA"), "PNG"),
    encoded(Image.fromarray(COLOURS).convert("RGBA"), "WEBP", lossless=True),
    encoded(Image.fromarray(COLOURS), "JPEG", exif=turned_by(6)),
    encoded(Image.fromarray(GRAY.astype(np.uint16) * 200), "PNG", exif=turned_by(2)),
    cv2.imencode(".png", np.repeat(GRAY[..., None].astype(np.uint16), 4, axis=2) * 200)[1].tobytes(),
    cv2.imencode(".tif", np.repeat(GRAY[..., None].astype(np.uint16), 3, axis=2) * 200)[1].tobytes(),
    *(
        encoded(Image.fromarray(GRAY), kind, save_all=True, append_images=[Image.fromarray(255 - GRAY)])
        for kind in ("GIF", "PNG", "TIFF", "WEBP")
    ),
]


def wide(values: np.ndarray) -> bytes:
    """A TIFF of numbers that Pillow does not read."""
    return bytes(cv2.imencode(".tif", values, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes())


def dicoms() -> list[bytes]:
    """Monochrome files, one of them compressed, where pydicom is installed."""
    if importlib.util.find_spec("pydicom") is None:
        return []
    import pydicom

    found = []
    for kind, pixels in (("MONOCHROME1", GRAY), ("MONOCHROME2", (CELSIUS * 100 + 27315).astype(np.uint16))):
        data = pydicom.Dataset()
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = *SIZE, 1, kind
        data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
        data.HighBit, data.PixelRepresentation, data.PixelData = data.BitsStored - 1, 0, pixels.tobytes()
        data.RescaleSlope, data.RescaleIntercept, data.NumberOfFrames = "1", "0", 1
        data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        for compress in (False, True):
            if compress:
                data.compress(pydicom.uid.RLELossless)
            file = io.BytesIO()
            data.save_as(file, enforce_file_format=True)
            found.append(file.getvalue())
    return found


def saved(*frames: np.ndarray) -> bytes:
    """A `.npy` of one array, a `.npz` of several."""
    file = io.BytesIO()
    np.save(file, frames[0]) if len(frames) == 1 else np.savez_compressed(file, *frames[1:])
    return file.getvalue()


ARRAYS = [
    *(saved(frame) for frame in (CELSIUS, CELSIUS.astype(np.float32) + 273.15, GRAY, COLOURS, CELSIUS[None])),
    saved((CELSIUS * 100 + 27315).astype(np.uint16)),
    saved(np.asfortranarray(CELSIUS)),
    saved(CELSIUS, CELSIUS),
    saved(CELSIUS, CELSIUS, GRAY),
    wide(CELSIUS),
    wide(CELSIUS.astype(np.int64)),
    *dicoms(),
]
MASK = coco_mask.encode(np.asfortranarray(GRAY > 100, dtype=np.uint8))
SQUARE = [4, 4, 16, 4, 16, 16.5, 4, 16]
COCO = {
    "images": [
        {"id": 1, "file_name": f"{NAME}.jpg", "height": 24, "width": 32},
        {"id": 2, "file_name": "0002/T0002.1.1.S.2012-10-01.00.jpg", "height": 48, "width": 64},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE, [1, 2, 3, 4, 5, 1]]},
        {"id": 2, "image_id": 2, "category_id": 2, "segmentation": [SQUARE]},
        {"id": 3, "image_id": 1, "category_id": 2, "segmentation": {"size": [24, 32], "counts": [9, 5, 754]}},
        {
            "id": 4,
            "image_id": 1,
            "category_id": 2,
            "segmentation": {"size": list(SIZE), "counts": MASK["counts"].decode()},
        },
    ],
    "categories": [{"id": 1, "name": "left_breast"}, {"id": 2, "name": "right_breast"}, {"id": 3, "name": "ROI"}],
}
EXPORTED = {  # as other tools write it: numbers as texts, a group of id 0, names with hashes and addresses
    "images": [
        {"id": "a1", "file_name": f"90fbb0c7-{NAME}.jpg", "height": "24", "width": 32.0},
        {
            "id": "7",
            "file_name": "/data/local-files/?d=0002%2Fa_snap_jpg.rf.0a1b2c3d.jpg",
            "height": 48.0,
            "width": "64",
        },
    ],
    "annotations": [
        {"id": 1, "image_id": "a1", "category_id": "1", "segmentation": [SQUARE]},
        {"id": 2, "image_id": 7, "category_id": 2.0, "segmentation": [SQUARE]},
    ],
    "categories": [{"id": 0, "name": "torso"}]
    + [{"id": k, "name": name, "supercategory": "torso"} for k, name in enumerate(("breast", "nipple", "ROI"), 1)],
}
DESCRIPTIONS = [
    b"<html><p>Diagnosis*: <span>Healthy<br></span></p></html>",
    b"<TABLE><tr><td>diagnosis :</td>\n<td><b><i> Sick </i></b></td></tr>" + b"<p>&nbsp;text</p>" * 20,
    "<p>Diagnóstico / Diagnosis: \N{NO-BREAK SPACE}S&iacute;ck".encode("latin-1"),
    "<p>Diagnosis: Sick<br>".encode("utf-16"),
]
TABLES = [
    b"ID,Diagnosis\n1,Healthy\n2,Sick\n3,benign\n",
    b"patient;age;label\r\n0001;34;normal\r\n0002;56;abnormal\r\n",
    "1\tsaudável\n2\tdoente\n".encode("latin-1"),
    b'"id","label"\n"1","Sick, perhaps"\n"2","healthy"\n',
    b"sep=;\r\nfile;is_sick\r\nIR_1.jpg;yes\r\ndata\\IR_2.jpg;no\r\n",
    "patient,target\n1,0\n2,1\n3,\n".encode("utf-16"),
]


def spreadsheets() -> list[bytes]:
    """A sheet of labels, where openpyxl is installed."""
    if importlib.util.find_spec("openpyxl") is None:
        return []
    import openpyxl

    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in (["ID", "Diagnosis"], [1, "Healthy"], ["0002", "Sick"], [3.0, None]):
        book.active.append(row)
    book.save(file)
    return [file.getvalue()]


FILE_OF_PATIENTS = {"IR_1.jpg": "1", "IR_2.jpg": "2"}


def matrix(separator: str = " ", point: str = ".", end: str = "\n") -> bytes:
    return end.join(separator.join(f"{value:.2f}".replace(".", point) for value in row) for row in CELSIUS).encode()


COUNTED = b",".join(b"%d" % column for column in range(SIZE[1])) + b"\n"
MATRICES = [
    *(
        matrix(),
        matrix(";", ","),
        matrix(",", ".", "\r\r\n"),
        matrix("\t", ".", "\r"),
        matrix(" ", ","),
        matrix(",", ","),
    ),
    b"File;C:\\IR_1.jpg;;\n;;;\nEmissivity:;0,98;;\n\nImage 1;" + matrix(";", ",").replace(b"\n", b"\n;"),
    b'"' + matrix('","', ",").replace(b"\n", b'"\n"') + b'"',
    COUNTED + matrix(","),
    matrix("\t").decode().encode("utf-16"),
    matrix() + b"\n\n" + matrix(),
]


@fuzzed()
@given(content=damaged_json([COCO, EXPORTED]))
def test_annotations(place: Path, content: bytes) -> None:
    path = place / "regions.json"
    path.write_bytes(content)

    def read() -> None:
        skipped = Skipped()
        found = read_annotations(path, "ROI", skipped)
        frames = [Frame("0001", Path("0001", f"{NAME}.jpg"), NAME), Frame("0002", Path("0002", "a.jpg"), "a")]
        match_frames({"gray": frames, "heat": []}, found, skipped)
        for image in found.images:
            target = soft_target(image, found.classes, letterbox(SIZE, SIZE))
            assert np.allclose(target.sum(0), 1, atol=1e-3)

    attempt("test_annotations", read)


@fuzzed()
@given(content=damaged(DESCRIPTIONS))
def test_description(place: Path, content: bytes) -> None:
    path = place / "description.html"
    path.write_bytes(content)
    attempt("test_description", lambda: read_diagnosis(path))


@fuzzed()
@given(content=damaged(MATRICES))
def test_matrix(place: Path, content: bytes) -> None:
    path = place / "a.txt"
    path.write_bytes(content)
    looks_like_matrix(path)
    found = attempt("test_matrix", lambda: read_matrix(path))
    assert found is None or (found.ndim == 2 and np.isfinite(found).all())


@fuzzed()
@given(content=damaged(ARRAYS))
def test_array(place: Path, content: bytes) -> None:
    path = place / "a.npy"
    path.write_bytes(content)
    found = attempt("test_array", lambda: read_image(path), ValueError)
    assert found is None or found.mode in ("L", "RGB")
    attempt("test_array", lambda: read_matrix(path))


@fuzzed()
@given(content=damaged([*TABLES, *spreadsheets()]))
def test_labels(place: Path, content: bytes) -> None:
    path = place / "labels.csv"
    path.write_bytes(content)
    attempt("test_labels", lambda: read_label_table(path, ["1", "2", "3"], FILE_OF_PATIENTS))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@fuzzed()
@given(content=damaged(PICTURES), heat=st.booleans(), name=st.sampled_from(["a.jpg", "a.png"]))
def test_image(place: Path, content: bytes, heat: bool, name: str) -> None:
    path = place / name
    path.write_bytes(content)
    found = attempt("test_image", lambda: read_frame(path, "heat" if heat else "gray", SIZE), ValueError)
    assert found is None or found[0].shape == (3 if heat else 1, *SIZE)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@fuzzed(40)
@given(one=damaged(PICTURES), other=damaged(PICTURES), text=damaged(MATRICES))
def test_what_is_asked_of_all_frames(place: Path, one: bytes, other: bytes, text: bytes) -> None:
    for number, content in enumerate((one, other, PICTURES[1]), start=1):
        folder = place / f"{number:04d}"
        folder.mkdir(exist_ok=True)
        (folder / f"{NAME}.jpg").write_bytes(content)
        (folder / f"{NAME}.txt").write_bytes(text)

    def read() -> None:
        skipped = Skipped()
        frames = DMRDataset(place).frames("gray", skipped)
        find_duplicates(place, frames, skipped)
        read_traits(place, frames, skipped)

    attempt("test_what_is_asked_of_all_frames", read)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:flyr")
@fuzzed()
@given(content=damaged([radiometric_jpeg(CELSIUS), radiometric_jpeg(CELSIUS, orientation=6)]))
def test_flir(place: Path, content: bytes) -> None:
    pytest.importorskip("flyr")
    path = place / "a.jpg"
    path.write_bytes(content)
    found = attempt("test_flir", lambda: read_radiometric(path))
    assert found is None or np.isfinite(found).all()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@fuzzed()
@given(
    picture=damaged(PICTURES + ARRAYS),
    text=damaged(MATRICES),
    name=st.sampled_from(["a.jpg", "a.png", "a.tif", "a_snap.jpg", "b.bmp", "a.txt.jpg", "a.npz", "c.webp", "c.gif"]),
)
def test_prediction_input(place: Path, picture: bytes, text: bytes, name: str) -> None:
    for path in place.iterdir():
        path.unlink()
    (place / name).write_bytes(picture)
    (place / "a.txt").write_bytes(text)

    def read() -> None:
        skipped = Skipped()
        for frame in find_frames(place, skipped):
            thermogram = read_thermogram(frame, skipped)
            for modality in ("heat", "gray"):
                pixels, _ = as_frame(thermogram, modality, SIZE)
                assert pixels.shape == ({"gray": 1, "heat": 3}[modality], *SIZE)

    attempt("test_prediction_input", read)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@fuzzed(40)
@given(
    picture=damaged(PICTURES),
    array=damaged(ARRAYS),
    text=damaged(MATRICES),
    table=damaged(TABLES),
    page=damaged(DESCRIPTIONS),
    coco=damaged_json([COCO]),
)
def test_import(place: Path, picture: bytes, array: bytes, text: bytes, table: bytes, page: bytes, coco: bytes) -> None:
    source, out = place / "source", place / f"out{len(list(place.iterdir()))}"
    contents = {f"sick/1/{NAME}.jpg": picture, "2/T0002.txt": text, "labels.csv": table, "regions.json": coco}
    contents |= {"3/T0003.npy": array}
    for name, content in (contents | {"2/description.html": page}).items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    before = {path.relative_to(place).parts[0] for path in place.iterdir()}
    attempt("test_import", lambda: import_folder(source, out, ImportOptions()))
    assert {path.relative_to(place).parts[0] for path in place.iterdir()} <= before | {out.name}
