"""The phantom: the same bytes for the same arguments, the database's geometry, and nothing but a tumour to find."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from pycocotools.coco import COCO

from src.datasets.matrices import read_matrix
from src.datasets.snapshots import make_snapshot
from src.errors import UserError
from src.phantom.dataset import (
    ANNOTATION_FILE,
    Patient,
    draw_labels,
    main,
    make_patient,
    write_phantom,
)
from src.phantom.draws import Draws
from src.phantom.outlines import Polygon
from src.phantom.shape import BACKGROUND, CLASSES, Mask
from src.phantom.torsos import draw_whole_torso
from src.phantom.tumour import tumour_spot, warm_spot

# Median box centre (fraction of the frame) and area (% of the frame) in the database's annotations.
GEOMETRY = {
    "left_breast": (0.33, 0.57, 14.7),
    "right_breast": (0.69, 0.58, 14.7),
    "left_nipple": (0.24, 0.67, 0.65),
    "right_nipple": (0.77, 0.69, 0.65),
    "left_armpit": (0.17, 0.28, 5.6),
    "right_armpit": (0.81, 0.30, 5.6),
    "neck": (0.51, 0.12, 4.0),
}


def fill(polygon: Polygon) -> Mask:
    mask = np.zeros((480, 640), np.uint8)
    cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 1)
    return mask > 0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "DMR"
    write_phantom(out, 9, seed=4, frames=2, annotated=0.5)
    return out


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [make_patient(2, index, index % 2 == 1) for index in range(12)]


def test_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "again", 9, seed=4, frames=2, annotated=0.5)
    assert contents(tmp_path / "again") == contents(folder)


def test_a_patient_does_not_depend_on_the_others(folder: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path / "few", 3, seed=4, frames=1)
    few = json.loads((tmp_path / "few" / "phantom.json").read_text())["patients"]
    many = json.loads((folder / "phantom.json").read_text())["patients"]
    same = [number for number in few if few[number] == many[number]]
    assert same, "no patient kept its label between the two phantoms, choose another seed"
    for number in same:
        for path in (tmp_path / "few" / number).iterdir():
            assert path.read_bytes() == (folder / number / path.name).read_bytes()


@pytest.mark.parametrize(("number", "annotated"), [(2, 1.0), (9, 0.5), (40, 0.35)])
def test_half_are_sick_and_annotations_are_spread_evenly(number: int, annotated: float) -> None:
    sick, drawn = draw_labels(number, 7, annotated)
    assert sick.sum() == number // 2
    assert drawn.sum() == round(annotated * number)
    assert abs(int((sick & drawn).sum()) - int((~sick & drawn).sum())) <= 1


def test_folder_has_the_layout_of_the_database(folder: Path) -> None:
    truth = json.loads((folder / "phantom.json").read_text())["patients"]
    assert len(truth) == 9
    for number, patient in truth.items():
        grays = sorted((folder / number).glob("*.[0-9][0-9].jpg"))
        assert [path.stem[-2:] for path in grays] == ["00", "01"]
        assert f"<span>{patient['diagnosis']}<br>" in (folder / number / "description.html").read_text()
        degrees = read_matrix(grays[0].with_suffix(".txt"))
        gray = np.asarray(Image.open(grays[0]), dtype=np.float32)
        assert degrees.shape == (480, 640)
        assert gray.shape == (480, 640, 3)
        unit = (degrees - degrees.min()) / np.ptp(degrees)
        assert np.abs(gray[..., 0] - 255 * unit).mean() < 2  # what JPEG loses
        snapshot = np.asarray(Image.open(grays[0].with_name(f"{grays[0].stem}_snap.jpg")), dtype=np.float32)
        assert np.abs(snapshot - make_snapshot(degrees)).mean() < 6


def test_annotations_load_with_pycocotools(folder: Path) -> None:
    coco = COCO(folder / ANNOTATION_FILE)
    assert tuple(category["name"] for category in coco.loadCats(range(1, 9))) == CLASSES
    assert len(coco.getImgIds()) == round(0.5 * 9)
    for image in coco.loadImgs(coco.getImgIds()):
        assert len(list(folder.glob(f"*/{image['file_name']}"))) == 1
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        order = [annotation["category_id"] for annotation in annotations]
        assert order == sorted(order)
        for annotation in annotations:
            mask = coco.annToMask(annotation)
            assert mask.shape == (480, 640)
            assert_allclose(mask.sum(), annotation["area"], rtol=0.1)


def test_regions_lie_where_the_database_has_them() -> None:
    found: dict[str, list[list[float]]] = {name: [] for name in CLASSES}
    for index in range(60):
        _, _, polygons = draw_whole_torso(Draws([11, index], 1.0))
        assert tuple(polygons) == CLASSES
        for name, polygon in polygons.items():
            centre = (polygon.min(axis=0) + polygon.max(axis=0)) / 2 / (640, 480)
            found[name].append([*centre, cv2.contourArea(polygon.astype(np.float32)) / (480 * 640) * 100])
    for name, (x, y, area) in GEOMETRY.items():
        medians = np.median(found[name], axis=0)
        assert_allclose(medians[:2], (x, y), atol=0.05, err_msg=name)
        assert_allclose(medians[2], area, rtol=0.25, err_msg=name)


@pytest.mark.parametrize("variety", [0.2, 1.0])
def test_polygons_are_the_regions_that_were_drawn(variety: float) -> None:
    for index in range(6):
        shape, _, polygons = draw_whole_torso(Draws([12, index], variety))
        for number, name in enumerate(CLASSES):
            drawn = fill(polygons[name])[2::4, 2::4]
            if number == BACKGROUND:
                assert drawn[shape.labels != BACKGROUND].mean() > 0.98
                assert drawn[~(shape.body | shape.head)].mean() < 0.02
                continue
            truth = shape.labels == number
            if name.endswith("breast"):
                truth |= shape.labels == number + 2  # the nipple lies on it
            assert 2 * (drawn & truth).sum() / (drawn.sum() + truth.sum()) > 0.93, name


def test_variety_is_how_far_torsos_differ() -> None:
    spreads = []
    for variety in (0.0, 0.2, 1.0):
        torsos = [draw_whole_torso(Draws([13, index], variety))[2].values() for index in range(12)]
        centres = [[(points.min(0) + points.max(0)) / 2 for points in polygons] for polygons in torsos]
        spreads.append(np.std(centres, axis=0).mean())
    assert spreads[0] == 0
    assert 0 < spreads[1] < 0.35 * spreads[2]


def test_polygons_agree_with_temperatures(patients: list[Patient]) -> None:
    for patient in patients:
        frame = patient.frames[0]
        everything = np.any([fill(polygon) for name, polygon in patient.polygons.items() if name != "ROI"], axis=0)
        assert frame[everything].mean() > np.percentile(frame, 2) + 4
        assert 17 < np.percentile(frame, 2) < 30
        assert 32 <= frame.max() <= 38
    for index in range(4):  # of ordinary torsos each part is as warm as in most patients
        patient = make_patient(2, index, sick=False, variety=0.1)
        frame, region = patient.frames[0], {name: fill(polygon) for name, polygon in patient.polygons.items()}
        for side in ("left", "right"):
            breast, nipple = region[f"{side}_breast"], region[f"{side}_nipple"]
            others = frame[region[f"{side}_armpit"]].mean(), frame[region["neck"]].mean()
            lower = breast & (np.arange(480)[:, None] > np.argwhere(breast)[:, 0].mean())
            assert frame[lower].mean() < min(others) - 0.4
            assert frame[nipple].min() < frame[breast].mean() - 1
            # The fold below a breast is warmer than the breast just inside its outline.
            rows = np.arange(480)[:, None] > np.nonzero(breast)[0].max() - 60
            kernel = np.ones((13, 13), np.uint8)
            fold = (cv2.dilate(breast.astype(np.uint8), kernel) > 0) & ~breast & rows & (frame > 28)
            rim = breast & (cv2.erode(breast.astype(np.uint8), kernel) == 0) & rows
            assert frame[fold].mean() > frame[rim].mean() + 0.2


def test_healthy_breasts_differ_by_half_a_degree_at_most() -> None:
    for index in range(8):
        patient = make_patient(6, index, sick=False)
        left, right = (patient.frames[0][fill(patient.polygons[f"{s}_breast"])].mean() for s in ("left", "right"))
        assert abs(left - right) < 0.6  # and some for the marker, the blur and the noise


def test_a_tumour_is_the_only_difference_and_has_the_tabulated_size() -> None:
    healthy = make_patient(5, 3, sick=False)
    sick = make_patient(5, 3, sick=True, depth=(5.0, 5.0), diameter=(20.0, 20.0))
    assert healthy.tumour is None
    assert sick.tumour is not None
    assert healthy.day == sick.day
    difference = sick.frames[0] - healthy.frames[0]
    row, column = int(sick.tumour.y), int(sick.tumour.x)
    assert fill(sick.polygons[f"{sick.tumour.side}_breast"])[row, column]
    assert_allclose(difference[row, column], 0.89, atol=0.01)
    width = np.count_nonzero(difference[row] > 0.89 / 2) / sick.px_per_mm
    assert_allclose(width, 25.0, atol=1.0)
    far = np.hypot(*np.mgrid[-row : 480 - row, -column : 640 - column]) > 40 * sick.px_per_mm
    assert np.abs(difference[far]).max() < 0.001
    assert_allclose(difference, warm_spot(sick.tumour, sick.px_per_mm), atol=0.02)


@pytest.mark.parametrize(
    ("depth", "diameter", "rise", "width"),
    [(5, 20, 0.89, 25), (20, 20, 0.04, 41), (10, 10, 0.27, 27), (15, 30, 0.15, 39), (20, 10, 0.0533, 39)],
)
def test_tumour_table(depth: float, diameter: float, rise: float, width: float) -> None:
    assert_allclose(tumour_spot(depth, diameter), (rise, width), rtol=1e-3)


def test_between_the_tables_depths_the_rise_is_interpolated_on_a_log_scale() -> None:
    assert_allclose(tumour_spot(7.5, 20.0), (np.sqrt(0.89 * 0.30), 28.0))


def test_dynamic_frames_are_the_same_torso_a_little_moved() -> None:
    frames = make_patient(1, 0, sick=False, frames=3).frames
    window = cv2.createHanningWindow((640, 480), cv2.CV_64F)  # else what enters at the border weighs most
    for frame in frames[1:]:
        moved, _ = cv2.phaseCorrelate(frames[0].astype(np.float64), frame.astype(np.float64), window)
        assert 0.5 < np.hypot(*moved) < 3.5
        assert not np.array_equal(frame, frames[0])


def test_a_complete_phantom_is_left_alone_and_another_is_refused(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_phantom(folder, 9, seed=4, frames=2, annotated=0.5)
    with pytest.raises(UserError, match="something other than this phantom"):
        write_phantom(folder, 9, seed=5, frames=2, annotated=0.5)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_interrupted_phantom_is_finished(tmp_path: Path) -> None:
    write_phantom(tmp_path / "whole", 2, seed=1)
    write_phantom(tmp_path / "cut", 2, seed=1)
    (tmp_path / "cut" / "phantom.json").rename(tmp_path / "cut" / "phantom.partial.json")
    next((tmp_path / "cut").glob("0002/*.txt")).write_text("21.0")
    write_phantom(tmp_path / "cut", 2, seed=1)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--patients", "0", "--seed", "1"],
        ["--patients", "10000", "--seed", "1"],
        ["--patients", "2", "--seed", "-1"],
        ["--patients", "2", "--seed", "1", "--depth", "3", "9"],
        ["--patients", "2", "--seed", "1", "--diameter", "30", "10"],
        ["--patients", "2", "--seed", "1", "--annotated", "nan"],
    ],
)
def test_impossible_arguments_are_one_line(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError):
        main([str(tmp_path / "out"), *arguments])
    assert not (tmp_path / "out").exists()


def test_labels_are_not_in_the_frames_range() -> None:
    sick = [make_patient(8, index, sick=True) for index in range(3)]
    healthy = [make_patient(8, index, sick=False) for index in range(3)]
    for one, other in zip(sick, healthy, strict=True):
        assert_array_equal(one.frames[0].argmax(), other.frames[0].argmax())
        assert one.frames[0].min() == other.frames[0].min()
